// SPDX-License-Identifier: Apache-2.0
#include "commands/run_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>

#include "bigmodel/core/error.h"
#include "bigmodel/core/shape.h"
#include "bigmodel/engine/generation/logits_rules.h"
#include "bigmodel/io/json.h"
#include "bigmodel/tokenizer/chat_template_folder.h"
#include "bigmodel/tokenizer/utf8.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kShown = 5;
constexpr std::size_t kLongestSpanTokens = 15;   ///< of the reference's question-answering pipeline

const Tensor* find(const NamedTensors& outputs, std::string_view name) {
  for (const auto& [key, tensor] : outputs) {
    if (key == name) return &tensor;
  }
  return nullptr;
}

std::span<const float> row_of(const Tensor& tensor, std::int64_t row) {
  return {tensor.f32() + row * tensor.width(), static_cast<std::size_t>(tensor.width())};
}

std::vector<double> softmax(std::span<const float> scores) {
  std::vector<double> out;
  for (const float l : log_softmax(scores)) out.push_back(std::exp(static_cast<double>(l)));
  return out;
}

std::vector<std::size_t> best(const std::vector<double>& scores, std::size_t count) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min(count, order.size()));
  return order;
}

/// Code points [begin, end) of a text.
std::string cut(const std::string& text, std::uint32_t begin, std::uint32_t end) {
  std::size_t at = 0;
  std::uint32_t point = 0;
  const auto advance = [&](std::uint32_t to) {
    for (; point < to && at < text.size(); ++point) at += tokenizer::utf8_length(text[at]);
    return std::min(at, text.size());
  };
  const std::size_t from = advance(begin);
  return text.substr(from, advance(end) - from);
}

/// id2label of the config, with the reference's names where it has none.
class Labels {
 public:
  explicit Labels(const FoundModel& model) : config_(parse_json(model.config.text, model.config.where)) {}

  std::string name(std::size_t id) const {
    const auto labels = config_.find("id2label");
    const std::string key = std::to_string(id);
    if (labels != config_.end() && labels->is_object() && labels->contains(key) && (*labels)[key].is_string()) return (*labels)[key].get<std::string>();
    return "LABEL_" + key;
  }
  bool many_at_once() const { return config_.value("problem_type", Json()) == "multi_label_classification"; }
  bool regression() const { return config_.value("problem_type", Json()) == "regression"; }

 private:
  Json config_;
};

void fill_masks(const Tensor& logits, const FoundModel& model, const AnswerSource& source, std::vector<Answers>& out) {
  if (source.tokenizer == nullptr || !model.folder || logits.shape().size() != 3) return;
  const Json special = parse_json(tokenizer::read_chat_templates(*model.folder).special_tokens, "special tokens");
  std::optional<std::uint32_t> mask;
  if (special.contains("mask_token") && special["mask_token"].is_string()) mask = source.tokenizer->id_of(special["mask_token"].get<std::string>());
  for (const char* usual : {"[MASK]", "<mask>"}) {
    if (!mask) mask = source.tokenizer->id_of(usual);
  }
  if (!mask) return;
  const std::int64_t length = logits.shape()[1];
  for (std::size_t row = 0; row < source.encodings.size(); ++row) {
    const std::vector<std::uint32_t>& ids = source.encodings[row].ids;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] != *mask) continue;
      const std::vector<double> scores = softmax(row_of(logits, static_cast<std::int64_t>(row) * length + static_cast<std::int64_t>(i)));
      Answers& answers = out.emplace_back(Answers{Answers::Kind::fills, row, static_cast<std::int64_t>(i), {}});
      for (const std::size_t id : best(scores, kShown)) {
        const auto token = static_cast<std::uint32_t>(id);
        answers.candidates.push_back({source.tokenizer->decode(std::span(&token, 1), false), scores[id], token, {}, {}, {}});
      }
    }
  }
}

void choose_classes(const Tensor& logits, const FoundModel& model, std::vector<Answers>& out) {
  const Labels labels(model);
  for (std::int64_t row = 0; row < logits.rows(); ++row) {
    const std::span<const float> own = row_of(logits, row);
    std::vector<double> scores;
    if (labels.regression()) {
      scores.assign(own.begin(), own.end());
    } else if (labels.many_at_once() || own.size() == 1) {
      for (const float s : own) scores.push_back(1 / (1 + std::exp(-static_cast<double>(s))));
    } else {
      scores = softmax(own);
    }
    Answers& answers = out.emplace_back(Answers{Answers::Kind::classes, static_cast<std::size_t>(row), {}, {}});
    for (const std::size_t id : best(scores, kShown)) answers.candidates.push_back({labels.name(id), scores[id], {}, {}, {}, {}});
  }
}

/// Every token whose label is not "O".
void label_tokens(const Tensor& logits, const FoundModel& model, const AnswerSource& source, std::vector<Answers>& out) {
  if (logits.shape().size() != 3) return;
  const Labels labels(model);
  for (std::size_t row = 0; row < source.encodings.size(); ++row) {
    const tokenizer::Encoding& e = source.encodings[row];
    const std::vector<int> parts = e.sequence_ids();
    Answers& answers = out.emplace_back(Answers{Answers::Kind::tokens, row, {}, {}});
    for (std::size_t i = 0; i < e.size(); ++i) {
      if (e.special_tokens_mask[i] != 0) continue;
      const std::vector<double> scores = softmax(row_of(logits, static_cast<std::int64_t>(row) * logits.shape()[1] + static_cast<std::int64_t>(i)));
      const std::size_t id = best(scores, 1).front();
      if (labels.name(id) == "O") continue;
      const auto& [begin, end] = e.offsets[i];
      const std::string& text = parts[i] == 1 && source.pair ? *source.pair : source.texts[row];
      answers.candidates.push_back({labels.name(id), scores[id], static_cast<std::int64_t>(i), begin, end, cut(text, begin, end)});
    }
  }
}

/// Spans of the pair (of the text itself without one): start and end as likely as possible, at most so many tokens apart.
void choose_spans(const Tensor& starts, const Tensor& ends, const AnswerSource& source, std::vector<Answers>& out) {
  for (std::size_t row = 0; row < source.encodings.size(); ++row) {
    const tokenizer::Encoding& e = source.encodings[row];
    const std::vector<int> parts = e.sequence_ids();
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < e.size(); ++i) {
      if (parts[i] == (source.pair ? 1 : 0)) places.push_back(i);
    }
    const auto chances = [&](const Tensor& tensor) {
      std::vector<float> own;
      for (const std::size_t i : places) own.push_back(row_of(tensor, static_cast<std::int64_t>(row))[i]);
      return own.empty() ? std::vector<double>{} : softmax(own);
    };
    const std::vector<double> begin = chances(starts), end = chances(ends);
    std::vector<double> scores;
    std::vector<std::pair<std::size_t, std::size_t>> spans;
    for (std::size_t b = 0; b < places.size(); ++b) {
      for (std::size_t f = b; f < std::min(places.size(), b + kLongestSpanTokens); ++f) {
        scores.push_back(begin[b] * end[f]);
        spans.emplace_back(places[b], places[f]);
      }
    }
    Answers& answers = out.emplace_back(Answers{Answers::Kind::spans, row, {}, {}});
    const std::string& text = source.pair ? *source.pair : source.texts[row];
    for (const std::size_t i : best(scores, kShown)) {
      const std::uint32_t from = e.offsets[spans[i].first].first, to = e.offsets[spans[i].second].second;
      answers.candidates.push_back({cut(text, from, to), scores[i], {}, from, to, {}});
    }
  }
}

std::string_view name_of(Answers::Kind kind) {
  switch (kind) {
    case Answers::Kind::fills: return "fills";
    case Answers::Kind::classes: return "classes";
    case Answers::Kind::tokens: return "tokens";
    case Answers::Kind::spans: return "spans";
  }
  return "";
}

}  // namespace

std::vector<Answers> answers_of(const NamedTensors& outputs, const std::string& class_name, const FoundModel& model, const AnswerSource& source) {
  std::vector<Answers> out;
  const Tensor* logits = find(outputs, "logits");
  const Tensor* starts = find(outputs, "start_logits");
  const Tensor* ends = find(outputs, "end_logits");
  if (starts != nullptr && ends != nullptr) {
    choose_spans(*starts, *ends, source, out);
  } else if (logits == nullptr || logits->count() == 0) {
    return out;
  } else if (class_name.ends_with("ForMaskedLM")) {
    fill_masks(*logits, model, source, out);
  } else if (class_name.ends_with("ForTokenClassification")) {
    label_tokens(*logits, model, source, out);
  } else if (class_name.ends_with("Classification") && logits->shape().size() == 2) {
    choose_classes(*logits, model, out);
  }
  return out;
}

Json answers_json(const std::vector<Answers>& answers) {
  Json out = Json::array();
  for (const Answers& a : answers) {
    Json candidates = Json::array();
    for (const Answer& c : a.candidates) {
      Json json = {{"label", c.label}, {"score", c.score}};
      if (c.token) json["token"] = *c.token;
      if (c.start) json["start"] = *c.start;
      if (c.end) json["end"] = *c.end;
      if (!c.word.empty()) json["word"] = c.word;
      candidates.push_back(std::move(json));
    }
    Json json = {{"kind", name_of(a.kind)}, {"row", a.row}};
    if (a.position) json["position"] = *a.position;
    json["candidates"] = std::move(candidates);
    out.push_back(std::move(json));
  }
  return out;
}

std::vector<std::string> answer_lines(const std::vector<Answers>& answers) {
  std::vector<std::string> out;
  for (const Answers& a : answers) {
    if (answers.size() > 1) out.push_back(a.position ? fmt::format("row {}, mask at token {}:", a.row, *a.position) : fmt::format("row {}:", a.row));
    for (const Answer& c : a.candidates) {
      out.push_back(c.word.empty() ? fmt::format("{:.4f}  {}", c.score, c.label) : fmt::format("{:.4f}  {}  {}", c.score, c.label, c.word));
    }
    if (a.candidates.empty()) out.emplace_back("nothing");
  }
  return out;
}

std::string summary_line(const std::string& name, const Tensor& tensor) {
  constexpr std::int64_t kFirst = 4;
  double sum = 0;
  for (std::int64_t i = 0; i < tensor.count(); ++i) sum += static_cast<double>(tensor.f32()[i]) * tensor.f32()[i];
  std::string out = fmt::format("{} float32 {}  norm {:.6g} ", name, to_string(tensor.shape()), std::sqrt(sum));
  for (std::int64_t i = 0; i < std::min(kFirst, tensor.count()); ++i) out += fmt::format(" {:.6g}", tensor.f32()[i]);
  return out + (tensor.count() > kFirst ? " ..." : "");
}

}  // namespace bigmodel::app
