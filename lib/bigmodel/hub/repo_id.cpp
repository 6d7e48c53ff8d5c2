// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/hub/repo_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

constexpr std::size_t kLongestName = 96;
constexpr std::size_t kLongestText = 4096;  ///< of a reference: far above any real address
constexpr std::size_t kCommitDigits = 40;

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool has_control_byte(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::optional<std::string> part_fault(std::string_view part) {
  if (part.empty()) return "has an empty part";
  if (part.size() > kLongestName) return fmt::format("has a part longer than {} characters", kLongestName);
  if (!std::ranges::all_of(part, [](char c) { return is_letter_or_digit(c) || c == '_' || c == '.' || c == '-'; })) {
    return "has a character other than letters, digits, '_', '.' and '-'";
  }
  if (part.find("--") != std::string_view::npos || part.find("..") != std::string_view::npos) return "has '--' or '..'";
  if (part.front() == '-' || part.front() == '.' || part.back() == '-' || part.back() == '.') {
    return "begins or ends with '-' or '.'";
  }
  return std::nullopt;
}

/// The rules that keep a slash-separated text a relative path that does not climb.
std::optional<std::string> relative_path_fault(std::string_view text) {
  if (text.empty()) return "is empty";
  if (text.size() > 1024) return "is longer than 1024 characters";
  if (has_control_byte(text)) return "has a control character";
  if (text.find('\\') != std::string_view::npos) return "has a backslash";
  if (text.front() == '/') return "begins with '/'";
  while (true) {
    const std::size_t slash = text.find('/');
    const std::string_view part = text.substr(0, slash);
    if (part.empty()) return "has an empty part";
    if (part == "." || part == "..") return "has a part '.' or '..'";
    if (part.size() > 255) return "has a part longer than 255 characters";
    if (slash == std::string_view::npos) return std::nullopt;
    text.remove_prefix(slash + 1);
  }
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (true) {
    const std::size_t at = text.find(separator);
    out.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

std::string joined(std::span<const std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) {
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

[[noreturn]] void refuse(std::string_view text, const std::string& fault, std::string hint) {
  throw UsageError(fmt::format("{}: not the name of a repository: {}", text, fault), std::move(hint));
}

constexpr std::string_view kHint = "write NAMESPACE/NAME, or NAMESPACE/NAME@REVISION";

/// Takes a revision off the front of path parts: refs/pr/N and refs/convert/X whole, else one part, decoded.
std::string take_revision(std::string_view text, std::span<const std::string_view>& parts) {
  std::size_t count = 1;
  if (parts.size() >= 3 && parts[0] == "refs" && (parts[1] == "pr" || parts[1] == "convert")) count = 3;
  const std::optional<std::string> out = percent_decoded(joined(parts.first(count)));
  if (!out) refuse(text, "the revision has a bad % escape", std::string(kHint));
  parts = parts.subspan(count);
  return *out;
}

void check(std::string_view text, const RepoReference& reference) {
  if (const auto fault = repo_id_fault(reference.id)) {
    refuse(text, fmt::format("'{}' {}", reference.id, *fault), std::string(kHint));
  }
  if (!reference.revision.empty()) {
    if (const auto fault = revision_fault(reference.revision)) {
      throw UsageError(fmt::format("{}: the revision '{}' {}", text, reference.revision, *fault),
                       "name a branch, a tag or a commit");
    }
  }
  if (!reference.path.empty()) {
    if (const auto fault = repo_path_fault(reference.path)) {
      throw UsageError(fmt::format("{}: the path '{}' {}", text, reference.path, *fault),
                       "name a file or folder of the repository");
    }
  }
}

void refuse_other_kinds(std::string_view text, std::string_view first) {
  for (const std::string_view kind : {"datasets", "spaces", "buckets", "kernels"}) {
    if (first == kind) refuse(text, fmt::format("it is one of {}", kind), "bigmodel reads model repositories");
  }
}

RepoReference parse_hf_scheme(std::string_view text, std::string_view rest) {
  std::vector<std::string_view> all = split(rest, '/');
  std::span<const std::string_view> parts = all;
  refuse_other_kinds(text, parts.front());
  if (parts.front() == "models") parts = parts.subspan(1);
  RepoReference out;
  // The '@' ends the id in its first or second part.
  for (std::size_t i = 0; i < std::min<std::size_t>(parts.size(), 2); ++i) {
    const std::size_t at = parts[i].find('@');
    if (at == std::string_view::npos) continue;
    out.id = joined(parts.first(i));
    out.id += fmt::format("{}{}", i == 0 ? "" : "/", parts[i].substr(0, at));
    std::vector<std::string_view> tail(parts.begin() + static_cast<std::ptrdiff_t>(i), parts.end());
    tail.front() = tail.front().substr(at + 1);
    std::span<const std::string_view> tail_parts = tail;
    out.revision = take_revision(text, tail_parts);
    if (out.revision.empty()) refuse(text, "the revision behind '@' is empty", std::string(kHint));
    out.path = joined(tail_parts);
    return out;
  }
  const std::size_t id_parts = std::min<std::size_t>(parts.size(), 2);
  out.id = joined(parts.first(id_parts));
  out.path = joined(parts.subspan(id_parts));
  return out;
}

RepoReference parse_web_address(std::string_view text, std::string_view rest) {
  rest = rest.substr(0, rest.find_first_of("?#"));
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const std::vector<std::string_view> all = split(rest, '/');
  std::span<const std::string_view> parts = all;
  refuse_other_kinds(text, parts.front());
  if (parts.size() > 1 && parts.front() == "models") parts = parts.subspan(1);
  constexpr std::array<std::string_view, 6> kRoutes = {"blob", "raw", "resolve", "tree", "blame", "commit"};
  const auto is_route = [&](std::string_view part) { return std::ranges::find(kRoutes, part) != kRoutes.end(); };
  std::size_t route = 1;
  while (route < parts.size() && route < 3 && !is_route(parts[route])) ++route;
  if (route == 3) refuse(text, "its address has no blob, resolve or tree", std::string(kHint));
  RepoReference out;
  out.id = joined(parts.first(route));
  if (route >= parts.size()) return out;
  parts = parts.subspan(route + 1);
  if (parts.empty()) return out;
  out.revision = take_revision(text, parts);
  const std::optional<std::string> path = percent_decoded(joined(parts));
  if (!path) refuse(text, "the path has a bad % escape", std::string(kHint));
  out.path = *path;
  return out;
}

/// Behind the scheme and host of a known Hub; nullopt where the text is no web address at all.
std::optional<std::string_view> behind_host(std::string_view text, std::string_view endpoint) {
  const bool has_scheme = text.starts_with("https://") || text.starts_with("http://");
  for (const std::string_view host : {"huggingface.co/", "www.huggingface.co/", "hf.co/"}) {
    std::string_view rest = text;
    if (has_scheme) rest.remove_prefix(text.find("://") + 3);
    if (rest.starts_with(host)) return rest.substr(host.size());
  }
  if (!has_scheme) return std::nullopt;
  if (text.size() > endpoint.size() && text.starts_with(endpoint) && text[endpoint.size()] == '/') {
    return text.substr(endpoint.size() + 1);
  }
  refuse(text, "its host is no Hub", "give an address of huggingface.co or of HF_ENDPOINT");
}

/// Since 2023 the Hub keeps repositories that had no namespace under one, and redirects the old name.
struct MovedRepo {
  std::string_view old_id, id;
};

constexpr MovedRepo kMoved[] = {
    {"albert-base-v1", "albert/albert-base-v1"},
    {"albert-base-v2", "albert/albert-base-v2"},
    {"albert-large-v1", "albert/albert-large-v1"},
    {"albert-large-v2", "albert/albert-large-v2"},
    {"albert-xlarge-v1", "albert/albert-xlarge-v1"},
    {"albert-xlarge-v2", "albert/albert-xlarge-v2"},
    {"albert-xxlarge-v1", "albert/albert-xxlarge-v1"},
    {"albert-xxlarge-v2", "albert/albert-xxlarge-v2"},
    {"bert-base-cased", "google-bert/bert-base-cased"},
    {"bert-base-chinese", "google-bert/bert-base-chinese"},
    {"bert-base-german-cased", "google-bert/bert-base-german-cased"},
    {"bert-base-multilingual-cased", "google-bert/bert-base-multilingual-cased"},
    {"bert-base-multilingual-uncased", "google-bert/bert-base-multilingual-uncased"},
    {"bert-base-uncased", "google-bert/bert-base-uncased"},
    {"bert-large-cased", "google-bert/bert-large-cased"},
    {"bert-large-cased-whole-word-masking", "google-bert/bert-large-cased-whole-word-masking"},
    {"bert-large-uncased", "google-bert/bert-large-uncased"},
    {"bert-large-uncased-whole-word-masking", "google-bert/bert-large-uncased-whole-word-masking"},
    {"bert-large-uncased-whole-word-masking-finetuned-squad",
     "google-bert/bert-large-uncased-whole-word-masking-finetuned-squad"},
    {"camembert-base", "almanach/camembert-base"},
    {"ctrl", "Salesforce/ctrl"},
    {"distilbert-base-cased", "distilbert/distilbert-base-cased"},
    {"distilbert-base-cased-distilled-squad", "distilbert/distilbert-base-cased-distilled-squad"},
    {"distilbert-base-german-cased", "distilbert/distilbert-base-german-cased"},
    {"distilbert-base-multilingual-cased", "distilbert/distilbert-base-multilingual-cased"},
    {"distilbert-base-uncased", "distilbert/distilbert-base-uncased"},
    {"distilbert-base-uncased-distilled-squad", "distilbert/distilbert-base-uncased-distilled-squad"},
    {"distilbert-base-uncased-finetuned-sst-2-english", "distilbert/distilbert-base-uncased-finetuned-sst-2-english"},
    {"distilgpt2", "distilbert/distilgpt2"},
    {"distilroberta-base", "distilbert/distilroberta-base"},
    {"gpt2", "openai-community/gpt2"},
    {"gpt2-large", "openai-community/gpt2-large"},
    {"gpt2-medium", "openai-community/gpt2-medium"},
    {"gpt2-xl", "openai-community/gpt2-xl"},
    {"openai-gpt", "openai-community/openai-gpt"},
    {"roberta-base", "FacebookAI/roberta-base"},
    {"roberta-base-openai-detector", "openai-community/roberta-base-openai-detector"},
    {"roberta-large", "FacebookAI/roberta-large"},
    {"roberta-large-mnli", "FacebookAI/roberta-large-mnli"},
    {"roberta-large-openai-detector", "openai-community/roberta-large-openai-detector"},
    {"t5-11b", "google-t5/t5-11b"},
    {"t5-3b", "google-t5/t5-3b"},
    {"t5-base", "google-t5/t5-base"},
    {"t5-large", "google-t5/t5-large"},
    {"t5-small", "google-t5/t5-small"},
    {"transfo-xl-wt103", "transfo-xl/transfo-xl-wt103"},
    {"xlm-clm-ende-1024", "FacebookAI/xlm-clm-ende-1024"},
    {"xlm-mlm-100-1280", "FacebookAI/xlm-mlm-100-1280"},
    {"xlm-mlm-17-1280", "FacebookAI/xlm-mlm-17-1280"},
    {"xlm-mlm-en-2048", "FacebookAI/xlm-mlm-en-2048"},
    {"xlm-roberta-base", "FacebookAI/xlm-roberta-base"},
    {"xlm-roberta-large", "FacebookAI/xlm-roberta-large"},
    {"xlnet-base-cased", "xlnet/xlnet-base-cased"},
    {"xlnet-large-cased", "xlnet/xlnet-large-cased"},
};

}  // namespace

std::optional<std::string> repo_id_fault(std::string_view repo_id) {
  if (repo_id.ends_with(".git")) return "ends with '.git'";
  const std::size_t slash = repo_id.find('/');
  if (slash == std::string_view::npos) return part_fault(repo_id);
  if (repo_id.find('/', slash + 1) != std::string_view::npos) return "has more than one '/'";
  if (auto fault = part_fault(repo_id.substr(0, slash))) return fault;
  return part_fault(repo_id.substr(slash + 1));
}

std::optional<std::string> revision_fault(std::string_view revision) {
  if (revision.size() > 255) return "is longer than 255 characters";
  return relative_path_fault(revision);
}

std::optional<std::string> repo_path_fault(std::string_view path) { return relative_path_fault(path); }

bool is_commit_hash(std::string_view text) {
  return text.size() == kCommitDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

RepoReference parse_repo_reference(std::string_view text, std::string_view endpoint) {
  if (text.size() > kLongestText) {
    throw UsageError(fmt::format("{}...: longer than any name of a repository", text.substr(0, 40)), std::string(kHint));
  }
  if (has_control_byte(text)) throw UsageError("the name of a repository has a control character", std::string(kHint));
  RepoReference out;
  if (text.starts_with("hf://")) {
    out = parse_hf_scheme(text, text.substr(5));
  } else if (const auto rest = behind_host(text, endpoint)) {
    out = parse_web_address(text, *rest);
  } else {
    const std::size_t at = text.find('@');
    out.id = std::string(text.substr(0, at));
    if (at != std::string_view::npos) {
      const std::optional<std::string> revision = percent_decoded(text.substr(at + 1));
      if (!revision || revision->empty()) refuse(text, "the revision behind '@' is empty or has a bad % escape", std::string(kHint));
      out.revision = *revision;
    }
  }
  check(text, out);
  return out;
}

std::vector<std::string> other_repo_ids(std::string_view repo_id) {
  std::vector<std::string> out;
  for (const MovedRepo& moved : kMoved) {
    if (moved.old_id == repo_id) out.emplace_back(moved.id);
    if (moved.id == repo_id) out.emplace_back(moved.old_id);
  }
  return out;
}

std::string percent_encoded(std::string_view text, bool keep_slashes) {
  std::string out;
  for (const char c : text) {
    if (is_letter_or_digit(c) || c == '-' || c == '_' || c == '.' || c == '~' || (c == '/' && keep_slashes)) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = digit(text[i + 1]);
    const int low = digit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

}  // namespace bigmodel
