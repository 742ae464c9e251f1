# Installs the library into a folder of its own, builds the consumer against it, and runs that.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "${command}: ${status}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

set(tree ${WORK_FOLDER}/tree)
set(build ${WORK_FOLDER}/build)
file(REMOVE_RECURSE ${WORK_FOLDER})
run(${CMAKE_COMMAND} --install ${BUILD_FOLDER} --prefix ${tree})

file(GLOB_RECURSE configs ${tree}/weldConfig.cmake)
file(GLOB_RECURSE descriptions ${tree}/weld.pc)
file(GLOB_RECURSE libraries ${tree}/libweld.so)
foreach(found configs descriptions libraries)
  list(LENGTH ${found} count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "the install tree has ${count} files for ${found}")
  endif()
endforeach()
if(NOT EXISTS ${tree}/include/weld.h OR NOT EXISTS ${tree}/include/weld.hpp OR NOT EXISTS ${tree}/bin/weld)
  message(FATAL_ERROR "the install tree lacks a header or the tool")
endif()

# Only our functions are exported.
run(${NM} -D --defined-only ${libraries})
string(REGEX MATCHALL "[^\n]+" lines "${output}")
foreach(line IN LISTS lines)
  if(NOT line MATCHES " weld_(conf|context|value|module|cancel|error|runst)_[a-z_]+$" AND
     NOT line MATCHES " weld_(load_library|set_log_level|version|init)$")
    message(FATAL_ERROR "exported: ${line}")
  endif()
endforeach()

# A library with sanitizers needs a program with them.
set(flags "")
set(link_flags "")
if(SANITIZE)
  set(flags "-fsanitize=${SANITIZE} -fsanitize-link-c++-runtime")
  set(link_flags -lstdc++)  # which the sanitizers need in programs in C too
endif()
run(${CMAKE_COMMAND} -G Ninja -S ${SOURCE_FOLDER} -B ${build} -DCMAKE_PREFIX_PATH=${tree} -DCMAKE_C_COMPILER=${C_COMPILER}
    -DCMAKE_CXX_COMPILER=${CXX_COMPILER} -DCMAKE_C_FLAGS=${flags} -DCMAKE_CXX_FLAGS=${flags}
    -DCMAKE_EXE_LINKER_FLAGS=${link_flags})
run(${CMAKE_COMMAND} --build ${build})
foreach(program consumer_c consumer_cpp)
  run(${build}/${program})
  if(NOT output STREQUAL "42\n")
    message(FATAL_ERROR "${program} printed ${output}")
  endif()
endforeach()
