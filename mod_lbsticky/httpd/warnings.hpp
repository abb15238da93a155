// Warnings of what cannot work in a configuration as it is written.
#pragma once

#include "httpd/apache.hpp"

namespace lbsticky {

// Logs a warning for everything in the configuration of all servers that cannot work as written. Logs each sentence
// once, though virtual hosts inherit the balancers of the main server. For the time when httpd starts. Throws
// std::bad_alloc.
void warn_of_configuration(server_rec* main_server);

}  // namespace lbsticky
