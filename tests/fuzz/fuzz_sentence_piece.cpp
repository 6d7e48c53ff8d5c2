// SPDX-License-Identifier: Apache-2.0
// Any bytes as the tokenizer.model of a folder, which then encodes and decodes a few texts. Only a bigmodel::Error may come out, and soon.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "bigmodel/tokenizer/tokenizer_folder.h"
#include "fuzz/use_tokenizer.h"

namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("fuzz_sentence_piece." + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bigmodel;
  static const Folder folder;
  std::ofstream(folder.path / "tokenizer.model", std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    fuzz::use(tokenizer::read_tokenizer(folder.path));
  } catch (const Error&) {
  }
  return 0;
}
