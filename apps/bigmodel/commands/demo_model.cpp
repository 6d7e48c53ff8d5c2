// SPDX-License-Identifier: Apache-2.0
#include "commands/demo_model.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <span>

#include "bigmodel/core/embedded_file.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/disk.h"

namespace bigmodel {
namespace embedded {
std::vector<EmbeddedFile> demo_model_files();
}

namespace app {

std::string_view demo_file(std::string_view name) {
  for (const EmbeddedFile& file : embedded::demo_model_files()) {
    if (file.name == name) return file.content;
  }
  return {};
}

DemoCheckpoint::DemoCheckpoint() : fd_(::memfd_create("demo-model.safetensors", MFD_CLOEXEC)) {
  if (!fd_) throw_errno("the demo model", "make a file in memory", errno);
  const std::string_view bytes = demo_file("model.safetensors");
  write_exactly(Disk(), fd_.get(), std::as_bytes(std::span(bytes)), 0, "the demo model");
}

std::filesystem::path DemoCheckpoint::path() const { return fmt::format("/proc/self/fd/{}", fd_.get()); }

}  // namespace app
}  // namespace bigmodel
