// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/tokenizer/models/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "bigmodel/core/error.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::tokenizer {
namespace {

constexpr double kUnknownPenalty = 10.0;
constexpr std::uint32_t kMissing = ~std::uint32_t{0};

struct PathNode {
  double score = 0;
  std::uint32_t id = 0;
  std::uint32_t begin = kMissing;  ///< where the token that ends here begins
};

struct UnigramScratch final : Model::Scratch {
  std::vector<PathNode> best;
  std::vector<ModelToken> reversed;
};

}  // namespace

Unigram::Unigram(Vocabulary vocabulary, std::vector<double> scores, std::optional<std::uint64_t> unk_id, bool byte_fallback)
    : vocabulary_(std::move(vocabulary)), scores_(std::move(scores)) {
  if (unk_id) {
    if (scores_.empty()) throw FormatError("model, Unigram: empty vocabulary, expected one with the unk_id");
    if (*unk_id >= scores_.size()) {
      throw FormatError(fmt::format("model, Unigram: unk_id {} is not in the vocabulary of {} tokens", *unk_id, scores_.size()));
    }
    unk_id_ = static_cast<std::uint32_t>(*unk_id);
  }
  double lowest = std::numeric_limits<double>::infinity();
  for (const double s : scores_) lowest = std::min(lowest, s);
  unk_score_ = lowest - kUnknownPenalty;
  if (byte_fallback) {
    byte_ids_.emplace(256, kMissing);
    for (unsigned b = 0; b < 256; ++b) (*byte_ids_)[b] = vocabulary_.find(fmt::format("<0x{:02X}>", b)).value_or(kMissing);
  }
  build_trie();
}

/// Nodes level by level, so that the children of a node lie together, in order of their byte.
void Unigram::build_trie() {
  std::vector<std::pair<std::string_view, std::uint32_t>> words;
  words.reserve(scores_.size());
  for (std::uint32_t id = 0; id < scores_.size(); ++id) {
    // Of equal texts the vocabulary kept the last id.
    if (const auto text = vocabulary_.text_of(id); text && !text->empty()) words.emplace_back(*text, id);
  }
  std::ranges::sort(words);
  struct Pending {
    std::uint32_t node;
    std::size_t begin, end, depth;
  };
  nodes_.emplace_back();
  labels_.push_back(0);
  std::vector<Pending> queue{{0, 0, words.size(), 0}};
  for (std::size_t q = 0; q < queue.size(); ++q) {
    const Pending p = queue[q];
    std::size_t at = p.begin;
    if (at < p.end && words[at].first.size() == p.depth) nodes_[p.node].id = words[at++].second;
    nodes_[p.node].first_child = static_cast<std::uint32_t>(nodes_.size());
    while (at < p.end) {
      const char byte = words[at].first[p.depth];
      std::size_t end = at + 1;
      while (end < p.end && words[end].first[p.depth] == byte) ++end;
      queue.push_back({static_cast<std::uint32_t>(nodes_.size()), at, end, p.depth + 1});
      nodes_.emplace_back();
      labels_.push_back(static_cast<unsigned char>(byte));
      ++nodes_[p.node].child_count;
      at = end;
    }
  }
  roots_.assign(256, 0);
  for (std::uint32_t i = 0; i < nodes_[0].child_count; ++i) roots_[labels_[nodes_[0].first_child + i]] = nodes_[0].first_child + i;
}

std::uint32_t Unigram::child_of(std::uint32_t node, unsigned char byte) const noexcept {
  if (node == 0) return roots_[byte];
  const Node& n = nodes_[node];
  const auto begin = labels_.begin() + n.first_child, end = begin + n.child_count;
  const auto it = n.child_count <= 8 ? std::find(begin, end, byte) : std::lower_bound(begin, end, byte);
  if (it == end || *it != byte) return 0;
  return static_cast<std::uint32_t>(it - labels_.begin());
}

std::unique_ptr<Model::Scratch> Unigram::make_scratch() const { return std::make_unique<UnigramScratch>(); }

void Unigram::add_unknown(std::string_view word, std::uint32_t begin, std::uint32_t end, std::vector<ModelToken>& out) const {
  const std::string_view text = word.substr(begin, end - begin);
  if (const auto id = vocabulary_.find(text)) {
    out.push_back({*id, begin, end});
    return;
  }
  if (byte_ids_) {
    const auto id_of = [this](char c) { return (*byte_ids_)[static_cast<unsigned char>(c)]; };
    if (std::ranges::none_of(text, [&](char c) { return id_of(c) == kMissing; })) {
      for (const char c : text) out.push_back({id_of(c), begin, end});
      return;
    }
  }
  out.push_back({*unk_id_, begin, end});
}

void Unigram::tokenize(std::string_view word, Scratch& scratch, std::vector<ModelToken>& out) const {
  auto& [best, reversed] = static_cast<UnigramScratch&>(scratch);
  best.assign(word.size() + 1, {});
  const auto offer = [&](std::size_t end, double score, std::uint32_t id, std::size_t begin) {
    PathNode& node = best[end];
    if (node.begin == kMissing || score > node.score) node = {score, id, static_cast<std::uint32_t>(begin)};
  };
  for (std::size_t begin = 0; begin < word.size();) {
    const double score = best[begin].score;
    const std::size_t size = utf8_length(word[begin]);
    bool has_single = false;
    std::uint32_t node = 0;
    for (std::size_t at = begin; at < word.size();) {
      node = child_of(node, static_cast<unsigned char>(word[at++]));
      if (node == 0) break;
      if (const std::int64_t id = nodes_[node].id; id >= 0) {
        offer(at, scores_[static_cast<std::size_t>(id)] + score, static_cast<std::uint32_t>(id), begin);
        has_single |= at - begin == size;
      }
    }
    if (!has_single) {
      // The path through an unknown character counts only where nothing better reached its end.
      if (best[begin + size].begin == kMissing || unk_score_ + score > best[begin + size].score) {
        if (!unk_id_) throw UnsupportedError("Unigram: a character is not in the vocabulary, and there is no unk_id");
        offer(begin + size, unk_score_ + score, *unk_id_, begin);
      }
    }
    begin += size;
  }
  reversed.clear();
  for (auto end = static_cast<std::uint32_t>(word.size()); end > 0;) {
    const PathNode& node = best[end];
    // Unknown neighbours are one token.
    if (unk_id_ && node.id == *unk_id_ && !reversed.empty() && reversed.back().id == *unk_id_) {
      reversed.back().begin = node.begin;
    } else {
      reversed.push_back({node.id, node.begin, end});
    }
    end = node.begin;
  }
  for (auto it = reversed.rbegin(); it != reversed.rend(); ++it) {
    if (unk_id_ && it->id == *unk_id_) {
      add_unknown(word, it->begin, it->end, out);
    } else {
      out.push_back(*it);
    }
  }
}

}  // namespace bigmodel::tokenizer
