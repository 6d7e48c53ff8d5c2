// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/model/block_facts.h"

#include <fmt/format.h>

#include <algorithm>

#include "bigmodel/core/error.h"

namespace bigmodel {
namespace {

[[noreturn]] void refuse(const Block& block, std::string_view name, std::string_view expected, const spec::Value& got) {
  throw FormatError(fmt::format("block '{}': property '{}' has the wrong kind, expected {}, got {}", block.kind, name, expected,
                                got.describe()),
                    "correct the description of this model type");
}

}  // namespace

const spec::Value* find_property(const Block& block, std::string_view name) {
  const auto it = std::ranges::find(block.properties, name, &std::pair<std::string, spec::Value>::first);
  return it == block.properties.end() || it->second.is_null() ? nullptr : &it->second;
}

std::optional<std::int64_t> integer_property(const Block& block, std::string_view name) {
  const spec::Value* value = find_property(block, name);
  if (value == nullptr) return std::nullopt;
  if (const std::int64_t* number = value->if_int()) return *number;
  refuse(block, name, "an integer", *value);
}

std::optional<double> number_property(const Block& block, std::string_view name) {
  const spec::Value* value = find_property(block, name);
  if (value == nullptr) return std::nullopt;
  if (const double* number = value->if_double()) return *number;
  if (const std::int64_t* number = value->if_int()) return static_cast<double>(*number);
  refuse(block, name, "a number", *value);
}

std::optional<std::string> text_property(const Block& block, std::string_view name) {
  const spec::Value* value = find_property(block, name);
  if (value == nullptr) return std::nullopt;
  if (const std::string* text = value->if_string()) return *text;
  refuse(block, name, "a text", *value);
}

bool flag_property(const Block& block, std::string_view name, bool fallback) {
  const spec::Value* value = find_property(block, name);
  return value == nullptr ? fallback : value->truthy();
}

std::string member_path(const Block& block, std::string_view name) {
  const spec::Value* value = find_property(block, name);
  const spec::MemberRef* member = value == nullptr ? nullptr : value->if_member();
  return member == nullptr ? std::string{} : member->path;
}

const ModuleTemplate* member_module(const ModuleTemplate& module, std::string_view property) {
  if (!module.block) return nullptr;
  const std::string path = member_path(*module.block, property);
  return path.empty() ? nullptr : find_below(module, path);
}

const TensorTemplate* member_tensor(const ModuleTemplate& module, std::string_view property) {
  if (!module.block) return nullptr;
  const std::string path = member_path(*module.block, property);
  if (path.empty()) return nullptr;
  const std::size_t dot = path.rfind('.');
  const ModuleTemplate* owner = dot == std::string::npos ? &module : find_below(module, std::string_view(path).substr(0, dot));
  if (owner == nullptr) return nullptr;
  const std::string_view local = std::string_view(path).substr(dot == std::string::npos ? 0 : dot + 1);
  if (const TensorTemplate* found = find_parameter(*owner, local)) return found;
  const auto buffer = std::ranges::find(owner->buffers, local, &TensorTemplate::name);
  return buffer == owner->buffers.end() ? nullptr : &*buffer;
}

const TensorTemplate* find_parameter(const ModuleTemplate& module, std::string_view name) {
  const auto it = std::ranges::find(module.parameters, name, &TensorTemplate::name);
  return it == module.parameters.end() ? nullptr : &*it;
}

ProjectionShape projection_shape(const ModuleTemplate* projection) {
  const TensorTemplate* weight = projection == nullptr ? nullptr : find_parameter(*projection, "weight");
  if (weight == nullptr || weight->shape.size() != 2) return {};
  const bool transposed = projection->layer_kind == "Conv1D";
  return {weight->shape[transposed ? 1 : 0], weight->shape[transposed ? 0 : 1]};
}

ExpertShare expert_share(const ModuleTemplate& module) {
  if (!module.block || module.block->kind != "moe" || !module.block->error.empty()) return {};
  const ModuleTemplate* experts = member_module(module, "experts");
  if (experts == nullptr) return {};
  std::int64_t count = 0;
  if (const TensorTemplate* stacked = member_tensor(*experts, "gate_up"); stacked != nullptr && !stacked->shape.empty()) {
    count = stacked->shape[0];
  } else {
    for (const TensorTemplate& t : experts->parameters) {
      if (t.shape.size() == 3) count = t.shape[0];
    }
    for (const ModuleChild& child : experts->children) count = count == 0 && child.count > 1 ? child.count : count;
  }
  const std::int64_t chosen = integer_property(*module.block, "top_k").value_or(0);
  if (count < 1 || chosen < 1 || chosen > count) return {};
  const std::string path = member_path(*module.block, "experts");
  return {path.substr(0, path.find('.')), chosen, count};
}

ExpertShare share_of(const ExpertShare& share, std::string_view member) {
  return !share.member.empty() && member == share.member ? share : ExpertShare{};
}

}  // namespace bigmodel
