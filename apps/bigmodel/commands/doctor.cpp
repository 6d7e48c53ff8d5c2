// SPDX-License-Identifier: Apache-2.0
#include "commands/doctor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bigmodel/architectures/architectures.h"
#include "bigmodel/core/byte_size.h"
#include "bigmodel/core/error.h"
#include "bigmodel/device/bandwidth_probe.h"
#include "bigmodel/device/cuda/cuda_devices.h"
#include "bigmodel/device/cuda/cuda_problems.h"
#include "bigmodel/device/machine_info.h"
#include "bigmodel/spec/spec_library.h"
#include "cli/settings.h"
#include "commands/doctor_types.h"
#include "commands/model_argument.h"
#include "render/format.h"
#include "render/json_text.h"
#include "version.h"

namespace bigmodel::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kLittleDiskBytes = 10'000'000'000;

struct Finding {
  std::string severity;  ///< "error" or "warning"
  std::string message;
  std::string hint;
};

struct Setting {
  std::string name, value, origin;
};

/// What the tiers deliver, as --bandwidth takes it.
struct Bandwidths {
  std::optional<double> cpu;
  DiskProbe disk;
  std::filesystem::path disk_folder;
  std::vector<GpuProbe> gpus;

  std::string option() const {
    std::vector<std::string> items;
    const auto add = [&items](std::string_view tier, double rate) { items.push_back(fmt::format("{}={:.4g}GB/s", tier, rate / 1e9)); };
    double link = 0;
    for (std::size_t i = 0; i < gpus.size(); ++i) {
      add(fmt::format("{}", i), gpus[i].memory_bytes_per_second);
      link = i == 0 ? gpus[i].upload_bytes_per_second : std::min(link, gpus[i].upload_bytes_per_second);
    }
    if (link > 0) add("pcie", link);
    if (cpu) add("cpu", *cpu);
    if (disk.bytes_per_second) add("disk", *disk.bytes_per_second);
    return fmt::format("{}", fmt::join(items, ","));
  }
};

struct Diagnosis {
  BuildFacts build;
  MachineInfo machine;
  CudaState cuda;
  std::vector<GpuMemory> card_memory;   ///< of cuda.cards
  std::filesystem::path cache;
  bool cache_exists = false;
  std::optional<DiskInfo> cache_disk;
  std::size_t model_types = 0;
  std::string config_file;
  bool config_exists = false;
  std::vector<Setting> settings;
  std::vector<Finding> findings;
  std::optional<Bandwidths> bandwidths;
};

const CommandSpec& spec() {
  static const CommandSpec kSpec{
      .name = "doctor",
      .summary = "show what this build and machine can do, and what is off",
      .description = {"Looks at the build, the processor, memory with the limits of containers, the disk of the Hub cache, the "
                      "GPU's driver and the settings in effect with their origin. What is off is listed with a remedy."},
      .options = {{.name = "probe",
                   .help = "measure how fast RAM, disk and GPUs are read, in the form that --bandwidth takes",
                   .more = "Takes some seconds. Writes 512 MiB to a file without a name on the disk of the Hub cache and reads it back past the page "
                           "cache; nothing is left behind."},
                  {.name = "types",
                   .help = "list every model type instead: whether it is described, its classes, and whether the engine runs them",
                   .more = "Each class is built from the type's default config, without weights. What does not run says what is missing.",
                   .settable = false},
                  arch_dir_option(),
                  format_option({"table", "json"})},
      .examples = {{"bigmodel doctor", "what is here, and what is off"},
                   {"bigmodel doctor --probe", "and how fast it is"},
                   {"bigmodel doctor --types", "what is described, and what runs"},
                   {"bigmodel doctor --json", "the same for programs"}}};
  return kSpec;
}

std::string_view origin_name(Origin origin) {
  switch (origin) {
    case Origin::command_line: return "command line";
    case Origin::environment: return "environment";
    case Origin::config_file: return "config file";
  }
  return "";
}

bool has_feature(const Diagnosis& d, std::string_view feature) {
  return std::ranges::find(d.machine.processor.features, feature) != d.machine.processor.features.end();
}

void find_faults(Diagnosis& d, Session& session) {
  const auto warn = [&](std::string message, std::string hint) {
    d.findings.push_back({"warning", std::move(message), std::move(hint)});
  };
  if (d.build.build_type != "Release") {
    warn(fmt::format("this is a {} build, which is slow", d.build.build_type), "build with `cmake --preset release`");
  }
  if (!d.machine.processor.features.empty() && !has_feature(d, "avx2") && !has_feature(d, "asimd")) {
    warn("the processor has no AVX2: the engine falls back to plain code", "run large models on another machine");
  }
  if (d.machine.nvidia && !d.build.cuda) {
    warn("an NVIDIA driver is here, but this build has no GPU backend",
         "install the CUDA toolkit and build with `cmake --preset cuda`");
  }
  if (d.cuda.built && !d.cuda.usable()) {
    warn(d.machine.nvidia ? d.cuda.problem : "this build has a GPU backend, but no NVIDIA driver is loaded", d.cuda.remedy);
  }
  for (const CudaCard& card : d.cuda.cards) {
    if (d.cuda.usable() && !card.problem.empty()) warn(card.problem, card.remedy);
  }
  const MemoryInfo& memory = d.machine.memory;
  if (memory.limit_bytes && *memory.limit_bytes < memory.total_bytes) {
    warn(fmt::format("a control group allows {} of the machine's {}", format_binary(*memory.limit_bytes),
                     format_binary(memory.total_bytes)),
         fmt::format("raise the container's memory limit ({}) if models do not fit", memory.limit_source));
  }
  if (d.cache_disk && !d.cache_disk->writable) {
    warn(fmt::format("{}: the Hub cache cannot be written", d.cache.string()), "set HF_HUB_CACHE to a folder of yours");
  }
  if (d.cache_disk && d.cache_disk->free_bytes < kLittleDiskBytes) {
    warn(fmt::format("{}: only {} are free for models", d.cache.string(), format_decimal(d.cache_disk->free_bytes)),
         "free some space, or set HF_HUB_CACHE to another disk");
  }
  for (const char* name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}) {
    if (parse_boolean(session.environment(name).value_or("")).value_or(false)) {
      warn(fmt::format("{} is set: nothing is fetched from the Hub", name), "unset it to reach the network");
    }
  }
}

Bandwidths probe(const Diagnosis& d, Session& session) {
  Bandwidths out;
  const int threads = std::max(d.machine.processor.usable_count, 1);
  session.work.report("reading RAM", 0, 0);
  out.cpu = probe_memory(threads, d.machine.memory.usable_bytes() / 4, session.work.stop);
  session.work.throw_if_stopped();
  out.disk_folder = d.cache;
  std::error_code error;
  while (!std::filesystem::is_directory(out.disk_folder, error) && out.disk_folder.has_relative_path()) out.disk_folder = out.disk_folder.parent_path();
  if (out.disk_folder.empty()) out.disk_folder = "/";
  session.work.report("reading the disk", 0, 0);
  const std::uint64_t free_bytes = d.cache_disk ? d.cache_disk->free_bytes : 0;
  // As the engine streams weights: one thread, which waits for no other.
  out.disk = probe_disk(out.disk_folder, std::min<std::uint64_t>(std::uint64_t{512} << 20, free_bytes / 2), 1, session.work.stop);
  session.work.throw_if_stopped();
  session.work.report("copying on GPUs", 0, 0);
  out.gpus = probe_gpus();
  session.progress.clear();
  return out;
}

Diagnosis diagnose(const Options& options, Session& session) {
  Diagnosis d;
  d.build = build_facts();
  d.machine = read_machine_info();
  d.cuda = read_cuda_state();
  d.card_memory = memory_of_cards(d.cuda.cards, d.cuda.cards.empty() ? std::vector<GpuMemory>{} : read_gpu_memory());
  d.cache = hub_cache_folder(session.environment);
  std::error_code error;
  d.cache_exists = std::filesystem::is_directory(d.cache, error);
  d.cache_disk = read_disk_info(d.cache);
  d.model_types = load_descriptions(options, session)->type_names().size();
  if (const auto path = config_file_path(options, session.environment)) {
    d.config_file = path->string();
    d.config_exists = std::filesystem::exists(*path, error);
  }
  for (const auto& [name, value] : options.values()) {
    d.settings.push_back({name, fmt::format("{}", fmt::join(value.texts, ",")), std::string(origin_name(value.origin))});
  }
  find_faults(d, session);
  if (options.flag("probe")) d.bandwidths = probe(d, session);
  return d;
}

std::string text_of(const Diagnosis& d, const Terminal& terminal) {
  std::string out;
  const auto row = [&](std::string_view title, const std::string& text) { out += fmt::format("{:<12}{}\n", title, text); };
  row("bigmodel", fmt::format("{}, {} build by {}, {}", d.build.version, d.build.build_type, d.build.compiler,
                              d.build.cuda ? "with the CUDA backend" : "without a GPU backend"));
  row("models", fmt::format("{} types described", d.model_types));
  const ProcessorInfo& cpu = d.machine.processor;
  row("processor", fmt::format("{}, {} of {} cores usable", cpu.model.empty() ? "unknown" : cpu.model, cpu.usable_count,
                               cpu.logical_count));
  row("", fmt::format("{}", fmt::join(cpu.features, " ")));
  const MemoryInfo& memory = d.machine.memory;
  row("memory", fmt::format("{}, {} usable", format_binary(memory.total_bytes), format_binary(memory.usable_bytes())));
  if (memory.limit_bytes) row("", fmt::format("limited to {} by {}", format_binary(*memory.limit_bytes), memory.limit_source));
  if (d.machine.nvidia) {
    row("GPU", fmt::format("{} (driver {})", fmt::join(d.machine.nvidia->gpu_names, ", "), d.machine.nvidia->version));
  } else {
    row("GPU", "none: no NVIDIA driver is loaded");
  }
  if (d.cuda.built) {
    row("CUDA", fmt::format("built for {}, {}", cuda_version_text(d.cuda.runtime_version),
                            d.cuda.driver_version > 0 ? fmt::format("the driver knows {}", cuda_version_text(d.cuda.driver_version)) : "no driver answers"));
    for (std::size_t i = 0; i < d.cuda.cards.size(); ++i) {
      const CudaCard& card = d.cuda.cards[i];
      const GpuMemory& memory_there = d.card_memory[i];
      row(fmt::format("cuda:{}", card.ordinal),
          fmt::format("{}, {}{}, compute capability {}.{}{}", card.description.name, format_binary(card.description.memory_bytes),
                      memory_there.name.empty() ? "" : fmt::format(" ({} free)", format_binary(memory_there.free_bytes)), card.description.capability / 10,
                      card.description.capability % 10, card.problem.empty() ? "" : ": not usable"));
    }
  } else {
    row("CUDA", "not built in");
  }
  row("Hub cache", fmt::format("{}{}", d.cache.string(), d.cache_exists ? "" : " (not there yet)"));
  if (d.cache_disk) {
    row("", fmt::format("{} free of {}", format_decimal(d.cache_disk->free_bytes), format_decimal(d.cache_disk->total_bytes)));
  }
  if (d.bandwidths) {
    const Bandwidths& b = *d.bandwidths;
    row("RAM reads", b.cpu ? fmt::format("{:.1f} GB/s", *b.cpu / 1e9) : "could not be measured");
    row("disk reads", b.disk.bytes_per_second ? fmt::format("{:.2f} GB/s ({})", *b.disk.bytes_per_second / 1e9, b.disk_folder.string())
                                              : fmt::format("could not be measured in {}: {}", b.disk_folder.string(), b.disk.problem));
    for (std::size_t i = 0; i < b.gpus.size(); ++i) {
      row(fmt::format("GPU {}", i), fmt::format("{:.0f} GB/s in its memory, {:.1f} GB/s from pinned RAM ({})", b.gpus[i].memory_bytes_per_second / 1e9,
                                                b.gpus[i].upload_bytes_per_second / 1e9, b.gpus[i].name));
    }
    row("", fmt::format("--bandwidth {}", b.option()));
  }
  row("config file", d.config_file.empty() ? "none" : d.config_file + (d.config_exists ? "" : " (not there)"));
  for (const Setting& setting : d.settings) row("setting", fmt::format("{} = {} ({})", setting.name, setting.value, setting.origin));
  out += '\n';
  if (d.findings.empty()) return out + styled("nothing is off", Style::green, terminal) + "\n";
  for (const Finding& finding : d.findings) {
    out += fmt::format("{} {}; {}\n", styled(finding.severity + ":", Style::yellow, terminal), finding.message, finding.hint);
  }
  return out;
}

Json json_of(const Diagnosis& d) {
  Json json{{"schema", "bigmodel.doctor/1"}};
  json["build"] = {{"version", d.build.version}, {"build_type", d.build.build_type}, {"compiler", d.build.compiler},
                   {"cuda", d.build.cuda}, {"model_types", d.model_types}};
  json["processor"] = {{"model", d.machine.processor.model}, {"logical_count", d.machine.processor.logical_count},
                       {"usable_count", d.machine.processor.usable_count}, {"features", d.machine.processor.features}};
  const MemoryInfo& memory = d.machine.memory;
  json["memory"] = {{"total_bytes", memory.total_bytes}, {"available_bytes", memory.available_bytes},
                    {"usable_bytes", memory.usable_bytes()}};
  if (memory.limit_bytes) {
    json["memory"]["limit_bytes"] = *memory.limit_bytes;
    json["memory"]["limit_source"] = memory.limit_source;
  }
  json["gpus"] = Json::array();
  if (d.machine.nvidia) {
    json["gpu_driver"] = d.machine.nvidia->version;
    for (const std::string& name : d.machine.nvidia->gpu_names) json["gpus"].push_back({{"name", name}});
  }
  Json& cuda = json["cuda"] = {{"built", d.cuda.built}, {"usable", d.cuda.usable()}, {"cards", Json::array()}};
  if (d.cuda.built) cuda["toolkit_version"] = cuda_version_text(d.cuda.runtime_version);
  if (d.cuda.driver_version > 0) cuda["driver_version"] = cuda_version_text(d.cuda.driver_version);
  if (!d.cuda.usable()) cuda["problem"] = d.cuda.problem;
  for (std::size_t i = 0; i < d.cuda.cards.size(); ++i) {
    const CudaCard& card = d.cuda.cards[i];
    Json entry{{"device", fmt::format("cuda:{}", card.ordinal)}, {"name", card.description.name}, {"uuid", card.uuid},
               {"compute_capability", fmt::format("{}.{}", card.description.capability / 10, card.description.capability % 10)},
               {"processors", card.description.processors}, {"total_bytes", card.description.memory_bytes}, {"usable", card.problem.empty()}};
    if (!d.card_memory[i].name.empty()) entry["free_bytes"] = d.card_memory[i].free_bytes;
    if (!card.problem.empty()) entry["problem"] = card.problem;
    cuda["cards"].push_back(std::move(entry));
  }
  json["cache"] = {{"path", d.cache.string()}, {"exists", d.cache_exists}};
  if (d.cache_disk) {
    json["cache"]["free_bytes"] = d.cache_disk->free_bytes;
    json["cache"]["total_bytes"] = d.cache_disk->total_bytes;
    json["cache"]["writable"] = d.cache_disk->writable;
  }
  if (d.bandwidths) {
    const Bandwidths& b = *d.bandwidths;
    Json gpus = Json::array();
    for (const GpuProbe& gpu : b.gpus) {
      gpus.push_back({{"name", gpu.name}, {"memory_bytes_per_second", gpu.memory_bytes_per_second}, {"upload_bytes_per_second", gpu.upload_bytes_per_second}});
    }
    json["probe"] = {{"bandwidth", b.option()}, {"gpus", std::move(gpus)}, {"disk_folder", b.disk_folder.string()}};
    if (b.cpu) json["probe"]["cpu_bytes_per_second"] = *b.cpu;
    if (b.disk.bytes_per_second) json["probe"]["disk_bytes_per_second"] = *b.disk.bytes_per_second;
    else json["probe"]["disk_problem"] = b.disk.problem;
  }
  if (!d.config_file.empty()) json["config_file"] = {{"path", d.config_file}, {"exists", d.config_exists}};
  json["settings"] = Json::array();
  for (const Setting& s : d.settings) json["settings"].push_back({{"name", s.name}, {"value", s.value}, {"origin", s.origin}});
  json["findings"] = Json::array();
  for (const Finding& f : d.findings) {
    json["findings"].push_back({{"severity", f.severity}, {"message", f.message}, {"hint", f.hint}});
  }
  return json;
}

ExitStatus run(const Options& options, Session& session) {
  const Format format = output_format(options);
  if (options.flag("types")) {
    if (options.flag("probe")) throw UsageError("doctor: --types and --probe answer different questions", "give one of them");
    const TypeSurvey survey = survey_types(*load_descriptions(options, session), session.work);
    session.progress.clear();
    if (format == Format::json) {
      session.out.line(json_text(json_of(survey), session.out.terminal().is_tty));
    } else {
      session.out.write(text_of(survey, session.out.terminal()));
    }
    return ExitStatus::done;
  }
  const Diagnosis diagnosis = diagnose(options, session);
  if (format == Format::json) {
    session.out.line(json_text(json_of(diagnosis), session.out.terminal().is_tty));
  } else {
    session.out.write(text_of(diagnosis, session.out.terminal()));
  }
  return ExitStatus::done;
}

}  // namespace

Command doctor_command() { return {&spec, &run}; }

}  // namespace bigmodel::app
