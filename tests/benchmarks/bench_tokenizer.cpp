// SPDX-License-Identifier: Apache-2.0
// How fast text becomes ids: byte-level (GPT-2, Llama 3) and SentencePiece-like (Llama 2) vocabularies of the published sizes over 10 MB of
// mixed text, and the load of a tokenizer.json of 17 MB. bench_tokenizer [RUNS [FOLDER]]: with FOLDER the files are written there first,
// for compare_tokenizers.py, and nothing is measured; bench_tokenizer RUNS FILE.json TEXT.txt measures one pair of files.
// Goals: twice the tokenizers library on one thread; load <= 150 ms with memory <= 3 times the file.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "benchmarks/measure.h"
#include "bigmodel/tokenizer/tokenizer.h"
#include "bigmodel/tokenizer/tokenizer_json.h"

namespace {

using namespace bigmodel;

constexpr std::size_t kTextBytes = 10'000'000;
constexpr std::size_t kDocumentBytes = 16'384;
constexpr const char* kLoad = "load";

/// Words of invented languages: syllables of Latin, accented, Cyrillic and Chinese letters.
class Lexicon {
 public:
  explicit Lexicon(std::size_t words) {
    static const std::vector<std::vector<std::string>> kSyllables = {
        {"ka", "lo", "mi", "ren", "tu", "sha", "vel", "no", "pra", "gi", "est", "ond", "al", "ur", "che", "fo", "bi", "dal", "zem", "qui"},
        {"é", "ü", "ça", "ñon", "ör", "stä"},
        {"при", "вет", "ко", "ста", "но", "ла"},
        {"的", "是", "不", "了", "人", "我"}};
    std::set<std::string> seen;
    while (words_.size() < words) {
      const std::size_t script = std::min<std::size_t>(below(12), kSyllables.size() + 8) < 9 ? 0 : 1 + below(3);
      std::string word;
      for (std::size_t i = 0, n = 1 + below(5); i < n; ++i) word += kSyllables[script][below(kSyllables[script].size())];
      if (script == 0 && below(6) == 0) word[0] = static_cast<char>(word[0] - 'a' + 'A');
      if (seen.insert(word).second) words_.push_back(std::move(word));
    }
  }

  const std::vector<std::string>& words() const { return words_; }

  /// Lines of prose, code and numbers; frequent words are frequent.
  std::string text(std::size_t bytes) {
    std::string out;
    while (out.size() < bytes) {
      const bool code = below(8) == 0;
      for (std::size_t i = 0, n = 8 + below(30); i < n; ++i) {
        const double u = static_cast<double>(below(1 << 20)) / (1 << 20);
        out += words_[static_cast<std::size_t>(u * u * u * u * static_cast<double>(words_.size()))];
        const std::size_t kind = below(24);
        if (code) {
          static constexpr const char* kMarks[] = {"(", ") {", "_", ".", " = ", "; ", "->", "    ", "\t", "[0x1F]", " // "};
          out += kMarks[below(std::size(kMarks))];
        } else if (kind == 0) {
          out += ", ";
        } else if (kind == 1) {
          out += " " + std::to_string(below(100000)) + " ";
        } else if (kind == 2) {
          out += "'s ";
        } else {
          out += ' ';
        }
      }
      out += code ? "\n" : ".\n";
    }
    return out;
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  std::mt19937_64 random_{20260101};
  std::vector<std::string> words_;
};

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out += '"';
}

void append_utf8(std::string& out, unsigned c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

/// GPT-2's letter for a byte.
std::string letter(unsigned char byte) {
  static const std::vector<std::string> kLetters = [] {
    std::vector<std::string> out;
    unsigned next = 256;
    for (unsigned b = 0; b < 256; ++b) {
      const bool shown = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
      std::string one;
      append_utf8(one, shown ? b : next++);
      out.push_back(one);
    }
    return out;
  }();
  return kLetters[byte];
}

/// A vocabulary that grows each word of the lexicon from the left, one symbol a merge, as long as there is room.
struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<std::pair<std::string, std::string>> merges;
};

Vocabulary grown(const Lexicon& lexicon, std::size_t size, bool byte_level) {
  Vocabulary out;
  std::set<std::string> known;
  const auto add = [&](const std::string& token) {
    if (known.insert(token).second) out.tokens.push_back(token);
  };
  if (byte_level) {
    for (unsigned b = 0; b < 256; ++b) add(letter(static_cast<unsigned char>(b)));
  } else {
    for (const char* special : {"<unk>", "<s>", "</s>"}) add(special);
    for (unsigned b = 0; b < 256; ++b) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", b);
      add(name);
    }
    for (unsigned c = 33; c < 127; ++c) add(std::string(1, static_cast<char>(c)));
    add("\xE2\x96\x81");
  }
  for (const std::string& word : lexicon.words()) {
    for (const bool space : {true, false}) {
      std::vector<std::string> symbols;
      if (space) symbols.push_back(byte_level ? letter(' ') : "\xE2\x96\x81");
      for (std::size_t i = 0; i < word.size();) {
        std::size_t n = 1;
        while (!byte_level && i + n < word.size() && (static_cast<unsigned char>(word[i + n]) & 0xC0) == 0x80) ++n;
        symbols.push_back(byte_level ? letter(static_cast<unsigned char>(word[i])) : word.substr(i, n));
        i += n;
      }
      for (const std::string& symbol : symbols) add(symbol);
      std::string left = symbols[0];
      for (std::size_t i = 1; i < symbols.size() && out.tokens.size() < size; ++i) {
        if (!known.contains(left + symbols[i])) {
          out.merges.emplace_back(left, symbols[i]);
          add(left + symbols[i]);
        }
        left += symbols[i];
      }
      if (out.tokens.size() >= size) return out;
    }
  }
  return out;
}

/// Llama 3's files have a merge for each cut of a token into two others, as they come from a list of ranks: some two a token.
void add_other_cuts(Vocabulary& vocabulary) {
  const std::set<std::string> known(vocabulary.tokens.begin(), vocabulary.tokens.end());
  vocabulary.merges.clear();
  for (const std::string& token : vocabulary.tokens) {
    std::vector<std::size_t> cuts;
    for (std::size_t i = 1; i < token.size(); ++i) {
      if (known.contains(token.substr(0, i)) && known.contains(token.substr(i))) cuts.push_back(i);
    }
    if (cuts.size() > 2) cuts = {cuts.front(), cuts.back()};
    for (const std::size_t cut : cuts) vocabulary.merges.emplace_back(token.substr(0, cut), token.substr(cut));
  }
}

constexpr const char* kGpt2 = R"("normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";
constexpr const char* kLlama3 = R"("normalizer":null,"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]},"post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})";
constexpr const char* kLlama2 = R"("normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"pre_tokenizer":null,"post_processor":null,"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})";

std::string tokenizer_json(const Vocabulary& vocabulary, const char* pipeline, bool byte_level) {
  std::string out = std::string(R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[],)") + pipeline + R"(,"model":{"type":"BPE","dropout":null,"unk_token":)";
  out += byte_level ? "null" : R"("<unk>")";
  out += R"(,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":)";
  out += byte_level ? R"(false,"byte_fallback":false)" : R"(true,"byte_fallback":true)";
  out += ",\"ignore_merges\":false,\"vocab\":{\n";
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) out += (i == 0 ? "      " : ",\n      ") + json_text(vocabulary.tokens[i]) + ": " + std::to_string(i);
  out += "\n},\"merges\":[\n";
  for (std::size_t i = 0; i < vocabulary.merges.size(); ++i) {
    const auto& [left, right] = vocabulary.merges[i];
    out += (i == 0 ? "      [\n        " : ",\n      [\n        ") + json_text(left) + ",\n        " + json_text(right) + "\n      ]";
  }
  return out + "\n]}}\n";
}

double elapsed_ms(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// Whole lines, as many as make at least so many bytes.
std::vector<std::string_view> parts_of(std::string_view text, std::size_t least_bytes) {
  std::vector<std::string_view> out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t wanted = std::min(begin + least_bytes, text.size()) - 1;
    const std::size_t end = std::min(text.find('\n', wanted), text.size() - 1) + 1;
    out.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

void measure_encode(const std::string& name, int runs, const std::string& json, std::string_view text) {
  const tokenizer::Tokenizer tokenizer(tokenizer::parse_tokenizer_json(json, name));
  for (const bool documents : {false, true}) {
    const std::vector<std::string_view> parts = parts_of(text, documents ? kDocumentBytes : 1);
    for (const bool ids_only : {false, true}) {
      bench::measure(fmt::format("{}{}, {}", name, documents ? "documents" : "lines", ids_only ? "ids only" : "with offsets"), runs, [&] {
        tokenizer::Encoder encoder(tokenizer);
        std::size_t tokens = 0;
        const auto start = std::chrono::steady_clock::now();
        for (const std::string_view part : parts) tokens += encoder.encode({part, {}}, {.ids_only = ids_only}).size();
        const double wall_ms = elapsed_ms(start);
        if (tokens == 0) throw std::runtime_error("no tokens");
        return bench::Sample{.wall_ms = wall_ms};
      });
    }
  }
}

void load(const std::filesystem::path& file) {
  if (tokenizer::read_tokenizer_json(file).vocabulary_size(true) == 0) throw std::runtime_error("no tokens");
}

/// Time within this process; memory as what a process that loads the file takes beyond one that does not.
void measure_load(const std::string& name, int runs, const std::filesystem::path& file) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const std::uint64_t idle_bytes = bench::run_process({self, kLoad}).peak_rss_bytes;
  bench::measure(name, runs, [&] {
    const auto start = std::chrono::steady_clock::now();
    load(file);
    return bench::Sample{.wall_ms = elapsed_ms(start), .peak_rss_bytes = bench::run_process({self, kLoad, file.string()}).peak_rss_bytes - idle_bytes};
  });
}

std::string read(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc >= 2 && std::string_view(argv[1]) == kLoad) {
      if (argc >= 3) load(argv[2]);
      return 0;
    }
    const int runs = bench::runs_from(argc, argv);
    if (argc >= 4) {
      measure_load("load", runs, argv[2]);
      measure_encode("", runs, read(argv[2]), read(argv[3]));
      return 0;
    }
    Lexicon lexicon(120'000);
    struct Case {
      const char* name;
      std::size_t size;
      const char* pipeline;
      bool byte_level;
    };
    std::vector<std::pair<std::string, std::string>> files;
    for (const Case& c : {Case{"gpt2", 50257, kGpt2, true}, Case{"llama2", 32000, kLlama2, false}, Case{"llama3", 128000, kLlama3, true}}) {
      Vocabulary vocabulary = grown(lexicon, c.size, c.byte_level);
      if (c.pipeline == kLlama3) add_other_cuts(vocabulary);
      files.emplace_back(c.name, tokenizer_json(vocabulary, c.pipeline, c.byte_level));
    }
    const std::string text = lexicon.text(kTextBytes);
    const std::filesystem::path folder = argc >= 3 ? std::filesystem::path(argv[2]) : std::filesystem::temp_directory_path();
    if (argc >= 3) {
      std::filesystem::create_directories(folder);
      for (const auto& [name, json] : files) std::ofstream(folder / (name + ".json"), std::ios::binary) << json;
      std::ofstream(folder / "text.txt", std::ios::binary) << text;
      return 0;
    }
    for (const auto& [name, json] : files) measure_encode(name + ", ", runs, json, text);
    const std::filesystem::path file = folder / ("bench_tokenizer." + std::to_string(::getpid()) + ".json");
    std::ofstream(file, std::ios::binary) << files.back().second;
    measure_load("load of " + std::to_string(files.back().second.size()) + " bytes", runs, file);
    std::filesystem::remove(file);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_tokenizer: %s\n", e.what());
    return 1;
  }
  return 0;
}
