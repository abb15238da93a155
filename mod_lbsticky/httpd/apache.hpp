// httpd's headers, as C++ needs them: in this order, and declared as C.
#pragma once

extern "C" {
// clang-format off
#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "ap_mpm.h"
#include "ap_provider.h"
#include "mod_proxy.h"
// clang-format on

// The one symbol of this module that others may see.
extern __attribute__((visibility("default"))) module AP_MODULE_DECLARE_DATA lbmethod_sticky_module;
}
