// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: over every file of the corpus folders given, and over mutations of each that are the same in
// every run. A finding ends the process by its exception or signal; the input is then in the file named on stderr.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr int kMutations = 60;
constexpr std::size_t kMostBytes = 1 << 16;

using Bytes = std::vector<std::uint8_t>;

Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Written before the run, so that what a crash was caused by is at hand after it.
void run(const Bytes& input) {
  std::ofstream(std::filesystem::path("fuzz-last-input.bin"), std::ios::binary)
      .write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

/// One to four edits: a bit turned, a byte replaced, a stretch removed, doubled, or taken from another file of the corpus.
Bytes mutated(Bytes input, const std::vector<Bytes>& corpus, std::mt19937_64& random) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random() % n); };
  static constexpr std::string_view kTelling = "0123456789-.eE\"'{}[](),:\\\n \t/=<>_ab\x00\x7f\x80\xff";
  for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
    const std::size_t at = below(input.size());
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t length = std::min<std::size_t>(1 + below(16), input.size() - at);
    const auto end = place + static_cast<std::ptrdiff_t>(length);
    switch (below(6)) {
      case 0:
        if (!input.empty()) *place ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 1:
        if (!input.empty()) *place = static_cast<std::uint8_t>(kTelling[below(kTelling.size())]);
        break;
      case 2: input.insert(place, static_cast<std::uint8_t>(kTelling[below(kTelling.size())])); break;
      case 3: input.erase(place, end); break;
      case 4: {
        const Bytes piece(place, end);
        input.insert(place, piece.begin(), piece.end());
        break;
      }
      default: {
        const Bytes& other = corpus[below(corpus.size())];
        const std::size_t from = below(other.size());
        const std::size_t many = std::min<std::size_t>(1 + below(64), other.size() - from);
        const auto first = other.begin() + static_cast<std::ptrdiff_t>(from);
        input.insert(place, first, first + static_cast<std::ptrdiff_t>(many));
      }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "no corpus: name a folder with at least one file\n");
    return 1;
  }
  std::vector<Bytes> corpus;
  for (const auto& file : files) corpus.push_back(read(file));
  std::mt19937_64 random(20261126);
  std::size_t runs = 0;
  for (const Bytes& input : corpus) {
    run(input);
    ++runs;
    if (input.size() > kMostBytes) continue;
    for (int i = 0; i < kMutations; ++i, ++runs) run(mutated(input, corpus, random));
  }
  std::filesystem::remove("fuzz-last-input.bin");
  std::printf("%zu files, %zu runs\n", corpus.size(), runs);
  return 0;
}
