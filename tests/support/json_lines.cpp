// SPDX-License-Identifier: Apache-2.0
#include "support/json_lines.h"

#include <lzma.h>

#include <stdexcept>
#include <string_view>
#include <vector>

#include "bigmodel/io/read_file.h"
#include "support/sampling.h"

namespace bigmodel::test {

std::string read_maybe_xz(const std::filesystem::path& path) {
  std::string raw = read_file(path, std::uint64_t{1} << 30);
  if (path.extension() != ".xz") return raw;
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, UINT64_MAX, LZMA_CONCATENATED) != LZMA_OK) throw std::runtime_error("lzma");
  stream.next_in = reinterpret_cast<const std::uint8_t*>(raw.data());
  stream.avail_in = raw.size();
  std::string out;
  std::vector<char> buffer(std::size_t{1} << 20);
  lzma_ret state = LZMA_OK;
  while (state == LZMA_OK) {
    stream.next_out = reinterpret_cast<std::uint8_t*>(buffer.data());
    stream.avail_out = buffer.size();
    state = lzma_code(&stream, LZMA_FINISH);
    out.append(buffer.data(), buffer.size() - stream.avail_out);
  }
  lzma_end(&stream);
  if (state != LZMA_STREAM_END) throw std::runtime_error("not an xz file: " + path.string());
  return out;
}

void for_each_record(const std::filesystem::path& path, const std::function<void(const nlohmann::ordered_json&)>& record,
                     int sanitized_every) {
  Sampling sampling(sanitized_every);
  const std::string text = read_maybe_xz(path);
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    if (!line.empty() && sampling.take()) record(nlohmann::ordered_json::parse(line));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
}

}  // namespace bigmodel::test
