# Runs the kept corpus through the fuzz targets, with any compiler: replay_fuzz_cookie and so on.
foreach(target fuzz_cookie fuzz_parameter fuzz_store)
  add_executable(replay_${target} ${CMAKE_CURRENT_LIST_DIR}/replay.cpp ${CMAKE_CURRENT_LIST_DIR}/${target}.cpp)
  target_link_libraries(replay_${target} PRIVATE lbsticky_core lbsticky_store)
  add_test(NAME replay_${target} COMMAND replay_${target} ${CMAKE_CURRENT_LIST_DIR}/corpus/${target})
endforeach()

# Its cost is counted by tests/fuzz/test_hostile_cost.py.
add_executable(hostile_cost ${PROJECT_SOURCE_DIR}/tests/fuzz/hostile_cost.cpp)
target_link_libraries(hostile_cost PRIVATE lbsticky_core)
