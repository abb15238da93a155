# Runs the kept corpus through the fuzz targets, with any compiler: replay_fuzz_cookie, replay_fuzz_parameter.
foreach(target fuzz_cookie fuzz_parameter)
  add_executable(replay_${target} ${CMAKE_CURRENT_LIST_DIR}/replay.cpp ${CMAKE_CURRENT_LIST_DIR}/${target}.cpp)
  target_link_libraries(replay_${target} PRIVATE lbsticky_core)
  add_test(NAME replay_${target} COMMAND replay_${target} ${CMAKE_CURRENT_LIST_DIR}/corpus/${target})
endforeach()

# Its cost is counted by tests/fuzz/test_hostile_cost.py.
add_executable(hostile_cost ${PROJECT_SOURCE_DIR}/tests/fuzz/hostile_cost.cpp)
target_link_libraries(hostile_cost PRIVATE lbsticky_core)
