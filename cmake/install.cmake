# What `cmake --install` puts where: the program, its pages, and the library for find_package(bigmodel) and pkg-config.
include(CMakePackageConfigHelpers)

install(TARGETS bigmodel_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT bin)
install(TARGETS bigmodel_page_server bigmodel_image_decoder LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/bigmodel COMPONENT bin)
file(GLOB man_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/man/*.1)
install(FILES ${man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT man)
install(FILES ${PROJECT_SOURCE_DIR}/completions/bigmodel.bash RENAME bigmodel
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT completions)
install(FILES ${PROJECT_SOURCE_DIR}/completions/bigmodel.zsh RENAME _bigmodel
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions COMPONENT completions)
install(FILES ${PROJECT_SOURCE_DIR}/completions/bigmodel.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT completions)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT bin)
if(EXISTS ${PROJECT_SOURCE_DIR}/schemas)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/schemas DESTINATION ${CMAKE_INSTALL_DATADIR}/bigmodel COMPONENT bin)
endif()

install(TARGETS bigmodel EXPORT bigmodel_targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/bigmodel)
install(EXPORT bigmodel_targets NAMESPACE bigmodel:: DESTINATION ${package_dir} COMPONENT dev)

# A static library hands even its private dependencies on: a folder that links one appends what finds it again,
#   set_property(GLOBAL APPEND_STRING PROPERTY BIGMODEL_CONFIG_FINDS "find_dependency(OpenSSL)\n")
#   set_property(GLOBAL APPEND PROPERTY BIGMODEL_PKG_CONFIG_REQUIRES libcrypto)
# or, where the dependency has no .pc file, BIGMODEL_PKG_CONFIG_LIBS with the linker's words.
get_property(config_finds GLOBAL PROPERTY BIGMODEL_CONFIG_FINDS)
get_property(pkg_config_requires GLOBAL PROPERTY BIGMODEL_PKG_CONFIG_REQUIRES)
get_property(pkg_config_libs GLOBAL PROPERTY BIGMODEL_PKG_CONFIG_LIBS)
list(JOIN pkg_config_libs " " pkg_config_libs)
list(PREPEND pkg_config_requires fmt)
list(JOIN pkg_config_requires ", " pkg_config_requires)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/bigmodelConfig.cmake.in ${PROJECT_BINARY_DIR}/bigmodelConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/bigmodelConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/bigmodelConfig.cmake ${PROJECT_BINARY_DIR}/bigmodelConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT dev)
file(RELATIVE_PATH pc_up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/bigmodel.pc.in ${PROJECT_BINARY_DIR}/bigmodel.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/bigmodel.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
