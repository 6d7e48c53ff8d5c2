// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/inputs/image_processor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "bigmodel/core/error.h"
#include "bigmodel/io/json.h"

namespace bigmodel {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::int64_t kLargestEdge = 16384;
constexpr std::array<double, 3> kStandard{0.5, 0.5, 0.5};
constexpr std::array<double, 3> kClipMean{0.48145466, 0.4578275, 0.40821073}, kClipDeviation{0.26862954, 0.26130258, 0.27577711};

/// The class without the words that say how it is implemented.
std::string plain_class(std::string name) {
  for (const std::string_view ending : {"Fast", "Pil"}) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  if (const std::string_view old = "FeatureExtractor"; name.ends_with(old)) name.replace(name.size() - old.size(), old.size(), "ImageProcessor");
  return name;
}

/// What the classes have where a file says nothing.
ImageProcessor defaults_of(const std::string& type, const std::string& object) {
  ImageProcessor out;
  out.type = type;
  out.mean = out.deviation = kStandard;
  out.resampling = Resampling::bicubic;
  if (type == "ViTImageProcessor") {
    out.resampling = Resampling::bilinear;
    out.size = {.height = 224, .width = 224};
  } else if (type == "DeiTImageProcessor") {
    out.size = {.height = 256, .width = 256};
    out.center_crop = true;
    out.crop = {.height = 224, .width = 224};
  } else if (type == "CLIPImageProcessor" || type == "BitImageProcessor") {
    out.size = {.shortest_edge = 224};
    out.center_crop = true;
    out.crop = {.height = 224, .width = 224};
    out.mean = kClipMean;
    out.deviation = kClipDeviation;
  } else if (type == "SiglipImageProcessor") {
    out.size = {.height = 224, .width = 224};
  } else if (type == "ConvNextImageProcessor") {
    out.size = {.shortest_edge = 384};
    out.crop_fraction = 224.0 / 256.0;
  } else {
    throw UnsupportedError(fmt::format("{}: images for a {} cannot be prepared", object, type.empty() ? "processor that is not named" : type),
                           "give pixel_values in a safetensors file");
  }
  return out;
}

bool squares_a_number(const std::string& type) { return type == "ViTImageProcessor" || type == "DeiTImageProcessor"; }

std::int64_t edge(const Json& value, const std::string& object, std::string_view key) {
  if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > kLargestEdge) {
    throw FormatError(fmt::format("{}: {}: {}, expected an edge from 1 to {}", object, key, value.dump().substr(0, 60), kLargestEdge));
  }
  return value.get<std::int64_t>();
}

ImageProcessor::Size size_of(const Json& value, bool square, const std::string& object, std::string_view key) {
  if (value.is_number()) {
    const std::int64_t side = edge(value, object, key);
    return square ? ImageProcessor::Size{.height = side, .width = side} : ImageProcessor::Size{.shortest_edge = side};
  }
  if (value.is_object() && value.size() == 2 && value.contains("height") && value.contains("width")) {
    return {.height = edge(value["height"], object, key), .width = edge(value["width"], object, key)};
  }
  if (value.is_object() && value.size() == 1 && value.contains("shortest_edge")) return {.shortest_edge = edge(value["shortest_edge"], object, key)};
  throw UnsupportedError(fmt::format("{}: {}: {}, expected a number, height and width, or shortest_edge", object, key, value.dump().substr(0, 80)));
}

void read_flag(const Json& config, const char* key, bool& into, const std::string& object) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return;
  if (!it->is_boolean()) throw FormatError(fmt::format("{}: {}: {}, expected true or false", object, key, it->dump().substr(0, 60)));
  into = it->get<bool>();
}

void read_three(const Json& config, const char* key, std::array<double, 3>& into, const std::string& object) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return;
  if (it->is_number()) {
    into.fill(it->get<double>());
    return;
  }
  if (!it->is_array() || it->size() != 3 || !std::ranges::all_of(*it, [](const Json& v) { return v.is_number(); })) {
    throw FormatError(fmt::format("{}: {}: {}, expected three numbers", object, key, it->dump().substr(0, 60)));
  }
  for (std::size_t i = 0; i < 3; ++i) into[i] = (*it)[i].get<double>();
}

double weight_at(double x, Resampling resampling) {
  x = std::abs(x);
  switch (resampling) {
    case Resampling::bilinear: return x < 1 ? 1 - x : 0;
    case Resampling::bicubic: {
      constexpr double a = -0.5;
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    }
    case Resampling::lanczos: {
      if (x >= 3) return 0;
      if (x == 0) return 1;
      const double t = x * M_PI;
      return std::sin(t) / t * std::sin(t / 3) / (t / 3);
    }
    case Resampling::nearest: break;
  }
  return 0;
}

constexpr int kFractionBits = 22;   // Pillow's: 32 less 8 of a colour and 2 for sums beyond it

/// For each place of the result: the first pixel that it reads, and weights of that and the next ones.
struct Taps {
  std::int64_t first = 0;
  std::vector<std::int32_t> weights;
};

std::vector<Taps> taps_of(std::int64_t from, std::int64_t to, Resampling resampling) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0);
  const double reach = (resampling == Resampling::bilinear ? 1.0 : resampling == Resampling::bicubic ? 2.0 : 3.0) * stretch;
  std::vector<Taps> out(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    Taps& taps = out[static_cast<std::size_t>(i)];
    const double center = (static_cast<double>(i) + 0.5) * scale;
    taps.first = std::max<std::int64_t>(static_cast<std::int64_t>(center - reach + 0.5), 0);
    const std::int64_t end = std::min(static_cast<std::int64_t>(center + reach + 0.5), from);
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t x = taps.first; x < end; ++x) {
      weights.push_back(weight_at((static_cast<double>(x) - center + 0.5) * (1.0 / stretch), resampling));
      sum += weights.back();
    }
    for (double w : weights) {
      if (sum != 0) w /= sum;
      const double fixed = w * (1 << kFractionBits);
      taps.weights.push_back(static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return out;
}

std::uint8_t rounded(std::int64_t sum) {
  return static_cast<std::uint8_t>(std::clamp<std::int64_t>((sum + (std::int64_t{1} << (kFractionBits - 1))) >> kFractionBits, 0, 255));
}

PixelImage nearest(const PixelImage& image, std::int64_t height, std::int64_t width) {
  PixelImage out{height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3))};
  for (std::int64_t y = 0; y < height; ++y) {
    const auto from_y = static_cast<std::int64_t>((static_cast<double>(y) + 0.5) * static_cast<double>(image.height) / static_cast<double>(height));
    for (std::int64_t x = 0; x < width; ++x) {
      const auto from_x = static_cast<std::int64_t>((static_cast<double>(x) + 0.5) * static_cast<double>(image.width) / static_cast<double>(width));
      std::copy_n(image.rgb.data() + (from_y * image.width + from_x) * 3, 3, out.rgb.data() + (y * width + x) * 3);
    }
  }
  return out;
}

/// A square from the middle; what lies beyond the image is black. The uneven pixel is where numpy's floor division puts it.
PixelImage cropped(const PixelImage& image, std::int64_t height, std::int64_t width) {
  PixelImage out{height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3))};
  const auto offset = [](std::int64_t have, std::int64_t want) { return have >= want ? (have - want) / 2 : -((want - have + 1) / 2); };
  const std::int64_t top = offset(image.height, height);
  const std::int64_t left = offset(image.width, width);
  for (std::int64_t y = std::max<std::int64_t>(0, -top); y < std::min(height, image.height - top); ++y) {
    for (std::int64_t x = std::max<std::int64_t>(0, -left); x < std::min(width, image.width - left); ++x) {
      std::copy_n(image.rgb.data() + ((y + top) * image.width + x + left) * 3, 3, out.rgb.data() + (y * width + x) * 3);
    }
  }
  return out;
}

PixelImage resized_to(const PixelImage& image, const ImageProcessor::Size& size, Resampling resampling) {
  if (size.shortest_edge == 0) return resized(image, size.height, size.width, resampling);
  const std::int64_t shorter = std::min(image.height, image.width);
  const std::int64_t longer = size.shortest_edge * std::max(image.height, image.width) / shorter;
  if (longer > kLargestEdge) throw UsageError(fmt::format("an image of {} x {} pixels: too long for a shorter edge of {}", image.width, image.height, size.shortest_edge));
  return image.width <= image.height ? resized(image, longer, size.shortest_edge, resampling) : resized(image, size.shortest_edge, longer, resampling);
}

}  // namespace

ImageProcessor read_image_processor(const std::filesystem::path& file) {
  const Json config = read_json_file(file);
  const std::string object = file.string();
  if (!config.is_object()) throw FormatError(fmt::format("{}: expected an object", object));
  std::string type;
  for (const char* key : {"feature_extractor_type", "image_processor_type"}) {
    if (config.contains(key) && config[key].is_string()) type = config[key].get<std::string>();
  }
  ImageProcessor out = defaults_of(plain_class(type), object);
  const bool square = squares_a_number(out.type);
  read_flag(config, "do_resize", out.resize, object);
  read_flag(config, "do_center_crop", out.center_crop, object);
  read_flag(config, "do_rescale", out.rescale, object);
  read_flag(config, "do_normalize", out.normalise, object);
  read_three(config, "image_mean", out.mean, object);
  read_three(config, "image_std", out.deviation, object);
  if (config.contains("size") && !config["size"].is_null()) out.size = size_of(config["size"], square, object, "size");
  if (config.contains("crop_size") && !config["crop_size"].is_null()) out.crop = size_of(config["crop_size"], true, object, "crop_size");
  if (config.contains("rescale_factor") && config["rescale_factor"].is_number()) out.rescale_factor = config["rescale_factor"].get<double>();
  if (out.crop_fraction && config.contains("crop_pct") && config["crop_pct"].is_number()) out.crop_fraction = config["crop_pct"].get<double>();
  if (config.contains("resample") && !config["resample"].is_null()) {
    const Json& resample = config["resample"];
    if (!resample.is_number_integer() || resample.get<std::int64_t>() < 0 || resample.get<std::int64_t>() > 3) {
      throw UnsupportedError(fmt::format("{}: resample: {}, expected 0 (nearest), 1 (lanczos), 2 (bilinear) or 3 (bicubic)", object, resample.dump().substr(0, 60)));
    }
    out.resampling = static_cast<Resampling>(resample.get<int>());
  }
  for (const double d : out.deviation) {
    if (!(std::abs(d) > 0)) throw FormatError(fmt::format("{}: image_std: {}, expected numbers other than 0", object, d));
  }
  if (out.crop_fraction && (out.size.shortest_edge == 0 || !(*out.crop_fraction > 0.01 && *out.crop_fraction <= 1))) throw FormatError(fmt::format("{}: expected a shortest_edge, and a crop_pct above 0 and up to 1", object));
  if (out.center_crop && out.crop.height == 0) throw FormatError(fmt::format("{}: do_center_crop: expected a crop_size with height and width", object));
  return out;
}

PixelImage resized(const PixelImage& image, std::int64_t height, std::int64_t width, Resampling resampling) {
  if (image.height == height && image.width == width) return image;
  if (resampling == Resampling::nearest) return nearest(image, height, width);
  PixelImage wide{image.height, width, {}};
  if (image.width == width) {
    wide.rgb = image.rgb;
  } else {
    wide.rgb.resize(static_cast<std::size_t>(image.height * width * 3));
    const std::vector<Taps> taps = taps_of(image.width, width, resampling);
    for (std::int64_t y = 0; y < image.height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        const Taps& t = taps[static_cast<std::size_t>(x)];
        std::int64_t sum[3] = {};
        const std::uint8_t* from = image.rgb.data() + (y * image.width + t.first) * 3;
        for (std::size_t k = 0; k < t.weights.size(); ++k) {
          for (std::size_t c = 0; c < 3; ++c) sum[c] += std::int64_t{from[3 * k + c]} * t.weights[k];
        }
        for (std::int64_t c = 0; c < 3; ++c) wide.rgb[static_cast<std::size_t>((y * width + x) * 3 + c)] = rounded(sum[c]);
      }
    }
  }
  if (image.height == height) return wide;
  PixelImage out{height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3))};
  const std::vector<Taps> taps = taps_of(image.height, height, resampling);
  std::vector<std::int64_t> sums(static_cast<std::size_t>(width * 3));
  for (std::int64_t y = 0; y < height; ++y) {
    const Taps& t = taps[static_cast<std::size_t>(y)];
    std::ranges::fill(sums, 0);
    for (std::size_t k = 0; k < t.weights.size(); ++k) {
      const std::uint8_t* from = wide.rgb.data() + (t.first + static_cast<std::int64_t>(k)) * width * 3;
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += std::int64_t{from[i]} * t.weights[k];
    }
    for (std::size_t i = 0; i < sums.size(); ++i) out.rgb[static_cast<std::size_t>(y * width * 3) + i] = rounded(sums[i]);
  }
  return out;
}

Tensor pixel_values(const PixelImage& image, const ImageProcessor& processor) {
  if (image.height < 1 || image.width < 1) throw UsageError("the image: is empty");
  PixelImage now = image;
  if (processor.resize && processor.crop_fraction) {
    const std::int64_t edge = processor.size.shortest_edge;
    if (edge < 384) {
      now = resized_to(now, {.shortest_edge = static_cast<std::int64_t>(static_cast<double>(edge) / *processor.crop_fraction)}, processor.resampling);
      now = cropped(now, edge, edge);
    } else {
      now = resized(now, edge, edge, processor.resampling);
    }
  } else if (processor.resize) {
    now = resized_to(now, processor.size, processor.resampling);
  }
  if (processor.center_crop) now = cropped(now, processor.crop.height, processor.crop.width);
  Tensor out({1, 3, now.height, now.width});
  const std::int64_t pixels = now.height * now.width;
  for (std::int64_t c = 0; c < 3; ++c) {
    const auto channel = static_cast<std::size_t>(c);
    const auto mean = static_cast<float>(processor.mean[channel]);
    const auto deviation = static_cast<float>(processor.deviation[channel]);
    for (std::int64_t i = 0; i < pixels; ++i) {
      double v = now.rgb[static_cast<std::size_t>(i * 3 + c)];
      if (processor.rescale) v *= processor.rescale_factor;
      const auto narrow = static_cast<float>(v);
      out.f32()[c * pixels + i] = processor.normalise ? (narrow - mean) / deviation : narrow;
    }
  }
  return out;
}

}  // namespace bigmodel
