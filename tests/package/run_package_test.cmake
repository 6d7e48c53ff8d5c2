# See CMakeLists.txt. Needs BUILD, SOURCE, WORK, CXX, BUILD_TYPE, FLAGS, LIBDIR, GENERATOR, MAKE_PROGRAM.
function(must)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGV}\n${out}")
  endif()
  set(must_output "${out}" PARENT_SCOPE)
endfunction()

if(FLAGS STREQUAL "-fsanitize=")
  set(FLAGS "")
endif()
file(REMOVE_RECURSE ${WORK})
must(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
# The build tool that built bigmodel: another one need not be here.
must(${CMAKE_COMMAND} -G ${GENERATOR} -D CMAKE_MAKE_PROGRAM=${MAKE_PROGRAM} -S ${SOURCE} -B ${WORK}/build -D CMAKE_PREFIX_PATH=${WORK}/prefix -D CMAKE_CXX_COMPILER=${CXX}
     -D CMAKE_BUILD_TYPE=${BUILD_TYPE} -D CMAKE_CXX_FLAGS=${FLAGS})
must(${CMAKE_COMMAND} --build ${WORK}/build)
must(${WORK}/build/consumer)

foreach(file bin/bigmodel share/man/man1/bigmodel.1 share/bash-completion/completions/bigmodel
        share/zsh/vendor-completions/_bigmodel share/fish/vendor_completions.d/bigmodel.fish)
  if(NOT EXISTS ${WORK}/prefix/${file})
    message(FATAL_ERROR "${file} was not installed")
  endif()
endforeach()
must(${WORK}/prefix/bin/bigmodel --version)

find_program(PKG_CONFIG pkg-config)
if(PKG_CONFIG)
  set(ENV{PKG_CONFIG_PATH} ${WORK}/prefix/${LIBDIR}/pkgconfig)
  # Not --static: the .pc names the shared libraries that it needs, whose own static parts are not installed everywhere.
  must(${PKG_CONFIG} --cflags --libs bigmodel)
  separate_arguments(flags UNIX_COMMAND "${must_output}")
  separate_arguments(sanitize UNIX_COMMAND "${FLAGS}")
  must(${CXX} -std=c++20 ${sanitize} ${SOURCE}/consumer.cpp ${flags} -o ${WORK}/by_pkg_config)
  must(${WORK}/by_pkg_config)
endif()

# Every installed header compiles where only the installed ones are there, and none shows nlohmann or CUDA.
file(GLOB_RECURSE headers RELATIVE ${WORK}/prefix/include ${WORK}/prefix/include/*.h)
set(all "")
foreach(header IN LISTS headers)
  file(READ ${WORK}/prefix/include/${header} text)
  if(text MATCHES "#include <(nlohmann|cuda|cublas|curl|onig|utf8proc|CLI)")
    message(FATAL_ERROR "${header} shows a third party's header")
  endif()
  string(APPEND all "#include <${header}>\n")
endforeach()
file(WRITE ${WORK}/all_headers.cpp "${all}int main() {}\n")
must(${CXX} -std=c++20 -fsyntax-only -I${WORK}/prefix/include ${WORK}/all_headers.cpp)
