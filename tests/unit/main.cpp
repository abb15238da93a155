// Catch2 2.13 has its main() made here, once; Catch2 3 brings one.
#define CATCH_CONFIG_MAIN
#include "catch.hpp"
