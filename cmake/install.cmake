# The installed package: find_package(bigmodel) and pkg-config.
