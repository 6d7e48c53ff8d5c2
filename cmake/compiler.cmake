# Compiler settings shared by every target: warnings, sanitizers, compiler cache.
add_library(bigmodel_warnings INTERFACE)
target_compile_options(bigmodel_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wconversion;-Wno-missing-field-initializers>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${BIGMODEL_WERROR}>>:-Werror>)

if(BIGMODEL_SANITIZE)
  add_compile_options(-fsanitize=${BIGMODEL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BIGMODEL_SANITIZE})
endif()

find_program(BIGMODEL_CCACHE ccache)
if(BIGMODEL_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${BIGMODEL_CCACHE})
endif()
