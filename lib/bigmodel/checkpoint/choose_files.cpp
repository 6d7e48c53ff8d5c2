// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/choose_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <set>

#include "bigmodel/checkpoint/file_kind.h"
#include "bigmodel/checkpoint/offload_folder.h"
#include "bigmodel/checkpoint/shard_plan.h"
#include "bigmodel/core/error.h"
#include "bigmodel/core/parse_number.h"

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

bool is_weight_name(std::string_view name) {
  for (const std::string_view suffix : {".safetensors", ".bin", ".pt", ".pth", ".th", ".ckpt"}) {
    if (name.ends_with(suffix)) return true;
  }
  return false;
}

/// Files that torch writes beside weights and that hold no weights.
bool is_trainer_file(std::string_view name) {
  for (const std::string_view stem : {"optimizer.", "scheduler.", "training_args.", "rng_state", "scaler."}) {
    if (name.starts_with(stem)) return true;
  }
  return false;
}

struct Foreign {
  std::string_view name;
  std::string_view what;
  std::string_view remedy;
};
constexpr Foreign kForeign[] = {
    {"tf_model.h5", "TensorFlow weights", "load them with transformers (from_tf=True) and save again as safetensors"},
    {"flax_model.msgpack", "Flax weights", "load them with transformers (from_flax=True) and save again as safetensors"},
    {"adapter_model.safetensors", "a PEFT adapter without its base model", "name the adapter file itself, or merge it into its base model first"},
    {"adapter_model.bin", "a PEFT adapter without its base model", "name the adapter file itself, or merge it into its base model first"},
    {"model_index.json", "a diffusers pipeline of several models", "name the folder of one component (unet, vae, text_encoder, ...)"},
    {".metadata", "a distributed (DCP) checkpoint", "convert it first: python -m torch.distributed.checkpoint.format_utils dcp_to_torch"},
};

[[noreturn]] void refuse_folder(const fs::path& folder, const std::vector<std::string>& names) {
  const std::set<std::string_view> have(names.begin(), names.end());
  const bool distcp = std::ranges::any_of(names, [](const std::string& n) { return n.ends_with(".distcp"); });
  for (const Foreign& foreign : kForeign) {
    if (!have.contains(foreign.name) || (foreign.name == ".metadata" && !distcp)) continue;
    throw UnsupportedError(fmt::format("{}: holds {}, expected safetensors or PyTorch weights", folder.string(), foreign.what),
                           std::string(foreign.remedy));
  }
  for (const std::string& name : names) {
    if (name.ends_with(".gguf")) {
      throw UnsupportedError(fmt::format("{}: holds GGUF weights, expected safetensors or PyTorch weights", folder.string()),
                             "take the repository that the GGUF was made from");
    }
  }
  throw NotFoundError(fmt::format("{}: no checkpoint in this folder (model.safetensors, pytorch_model.bin, or their index)", folder.string()));
}

/// In the order of preference.
std::vector<ShardNames> known_names() {
  return {usual_names(false), usual_names(true), {.stem = "diffusion_pytorch_model"}, {.stem = "diffusion_pytorch_model", .suffix = ".bin"}};
}

/// The variants whose files are among the names, once each.
std::set<std::string_view> variants_of(const std::vector<std::string>& names) {
  std::set<std::string_view> out;
  for (const std::string& name : names) out.insert(variant_of(name));
  out.erase("");
  return out;
}

/// All numbers 1..count of one stem, once each; in order.
std::vector<std::string> complete_set(const std::vector<std::string>& names) {
  std::map<std::pair<std::string, std::string>, std::map<unsigned long, std::string>> sets;
  unsigned long count = 0;
  for (const std::string& name : names) {
    NumberedShard shard;
    if (!parse_numbered_shard(name, shard)) return {};
    if (count != 0 && shard.count != count) return {};
    count = shard.count;
    sets[{shard.stem, shard.suffix}][shard.number] = name;
  }
  if (sets.size() != 1 || sets.begin()->second.size() != count || names.size() != count) return {};
  std::vector<std::string> out;
  for (const auto& [number, name] : sets.begin()->second) out.push_back(name);
  return out;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) throw IoError(fmt::format("{}: cannot list: {}", folder.string(), error.message()));
  std::ranges::sort(names);
  return names;
}

ChosenFiles choose_in_folder(const Disk& disk, const fs::path& folder, std::string_view variant) {
  ChosenFiles chosen;
  chosen.folder = folder;
  const std::vector<std::string> names = names_in(folder);
  const auto has = [&](std::string_view name) { return std::ranges::binary_search(names, name); };
  const std::vector<WeightName> known = weight_names(variant);
  for (auto it = known.begin(); it != known.end(); ++it) {
    if (!has(it->name)) continue;
    if (it->is_index) {
      chosen.index = folder / it->name;
    } else {
      chosen.files.push_back(folder / it->name);
    }
    for (auto other = it + 1; other != known.end(); ++other) {
      if (has(other->name)) chosen.notes.push_back(fmt::format("{} is there too; {} was taken, as transformers does", other->name, it->name));
    }
    return chosen;
  }
  if (!variant.empty()) {
    const std::set<std::string_view> variants = variants_of(names);
    throw NotFoundError(fmt::format("{}: no checkpoint of variant \"{}\" in this folder", folder.string(), variant),
                        variants.empty() ? "it has no variants" : fmt::format("it has {}", fmt::join(variants, ", ")));
  }

  std::vector<std::string> indexes;
  std::vector<std::string> weights;
  for (const std::string& name : names) {
    if (name.ends_with(".index.json") && name != "index.json") indexes.push_back(name);
    if (is_weight_name(name) && !is_trainer_file(name) && !name.starts_with("adapter_model.")) weights.push_back(name);
  }
  if (indexes.size() == 1) {
    chosen.index = folder / indexes.front();
    return chosen;
  }
  if (indexes.size() > 1) {
    throw UsageError(fmt::format("{}: holds {} indexes ({})", folder.string(), indexes.size(), fmt::join(indexes, ", ")), "name one of them");
  }
  if (has("index.json") && is_offload_index(folder / "index.json")) {
    chosen.offload_index = folder / "index.json";
    return chosen;
  }
  // Of several kinds, safetensors first.
  std::vector<std::string> safe;
  std::ranges::copy_if(weights, std::back_inserter(safe), [](const std::string& n) { return n.ends_with(".safetensors"); });
  const std::vector<std::string>& candidates = safe.empty() ? weights : safe;
  if (candidates.empty()) refuse_folder(folder, names);
  if (candidates.size() == 1) {
    if (NumberedShard lone; parse_numbered_shard(candidates.front(), lone) && lone.count > 1) {
      throw NotFoundError(fmt::format("{}: holds shard {} of {} alone ({}), and no index", folder.string(), lone.number, lone.count, candidates.front()),
                          "fetch the others, or name the file");
    }
    chosen.files.push_back(folder / candidates.front());
    if (const std::string_view lone = variant_of(candidates.front()); !lone.empty()) chosen.notes.push_back(fmt::format("{} is the variant {}; it is the only one here", candidates.front(), lone));
    return chosen;
  }
  const std::vector<std::string> set = complete_set(candidates);
  if (set.empty()) {
    throw UsageError(fmt::format("{}: holds {} weight files and no index ({}{})", folder.string(), candidates.size(),
                                 fmt::join(candidates.begin(), candidates.begin() + std::min<std::ptrdiff_t>(4, std::ssize(candidates)), ", "),
                                 candidates.size() > 4 ? ", ..." : ""),
                     "name one of them, or fetch the index");
  }
  chosen.notes.push_back("no index; the numbered files are a complete set");
  for (const std::string& name : set) chosen.files.push_back(folder / name);
  static_cast<void>(disk);
  return chosen;
}

}  // namespace

std::vector<WeightName> weight_names(std::string_view variant) {
  std::vector<WeightName> out;
  for (ShardNames names : known_names()) {
    names.variant = variant;
    out.push_back({names.one()});
    out.push_back({names.transformers_index(), true});
    if (!variant.empty()) out.push_back({names.index(), true});
  }
  return out;
}

std::string_view variant_of(std::string_view name) {
  const bool is_index = name.ends_with(".json") && name.find(".index.") != std::string_view::npos;
  if (!is_index && !name.ends_with(".safetensors") && !name.ends_with(".bin")) return {};
  NumberedShard numbered;
  std::size_t dot = name.find('.');
  const std::string_view first = name.substr(0, dot);
  const std::string stem = parse_numbered_shard(first, numbered) ? numbered.stem : std::string(first);
  if (std::ranges::none_of(known_names(), [&](const ShardNames& names) { return names.stem == stem; })) return {};
  std::string_view variant;
  while (dot != std::string_view::npos) {
    const std::size_t end = name.find('.', dot + 1);
    const std::string_view part = name.substr(dot + 1, end == std::string_view::npos ? end : end - dot - 1);
    dot = end;
    if (part == "safetensors" || part == "bin" || part == "index" || part == "json") continue;
    if (!variant.empty()) return {};
    variant = part;
  }
  return parse_numbered_shard(variant, numbered) ? variant.substr(0, numbered.stem.size()) : variant;
}

bool parse_numbered_shard(std::string_view name, NumberedShard& out) {
  // STEM-ddddd-of-ddddd.SUFFIX, and the order some tools use: STEM.SUFFIX-ddddd-of-ddddd.SUFFIX
  const std::size_t of = name.rfind("-of-");
  if (of == std::string_view::npos) return false;
  const std::size_t dash = name.rfind('-', of - (of > 0 ? 1 : 0));
  if (dash == std::string_view::npos || dash >= of) return false;
  const std::string_view number = name.substr(dash + 1, of - dash - 1);
  std::string_view rest = name.substr(of + 4);
  const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  const std::string_view count = rest.substr(0, digits);
  const auto to_number = [](std::string_view text, unsigned long& value) {
    const std::optional<unsigned long> parsed = text.size() <= 6 ? parse_number<unsigned long>(text) : std::nullopt;
    value = parsed.value_or(0);
    return parsed.has_value();
  };
  if (!to_number(number, out.number) || !to_number(count, out.count)) return false;
  out.stem = std::string(name.substr(0, dash));
  out.suffix = std::string(rest.substr(digits));
  return out.number >= 1 && out.number <= out.count;
}

ChosenFiles choose_files(const Disk& disk, const fs::path& path, std::string_view variant) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw NotFoundError(fmt::format("{}: no such file or folder", path.string()));
  if (fs::is_directory(status)) return choose_in_folder(disk, path, variant);
  if (!fs::is_regular_file(status)) throw IoError(fmt::format("{}: is no regular file", path.string()));
  ChosenFiles chosen;
  chosen.folder = path.parent_path().empty() ? fs::path(".") : path.parent_path();
  const UniqueFd fd = open_on(disk, path, O_RDONLY);
  const std::uint64_t size = fs::file_size(path, error);
  if (path.extension() == ".json" && sniff_file(disk, fd.get(), size, path) == FileKind::json) {
    if (path.filename() == "index.json" && is_offload_index(path)) {
      chosen.offload_index = path;
    } else {
      chosen.index = path;
    }
    return chosen;
  }
  chosen.files.push_back(path);
  return chosen;
}

}  // namespace bigmodel
