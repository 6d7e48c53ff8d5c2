// SPDX-License-Identifier: Apache-2.0
// From an image to pixel_values, as the image processors of transformers do it: resize, crop, rescale, normalise.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/engine/tensor.h"

namespace bigmodel {

/// Rows from top to bottom, three bytes (red, green, blue) a pixel.
struct PixelImage {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> rgb;
};

/// How colours between pixels are found; values are those of Pillow, which configs use.
enum class Resampling { nearest = 0, lanczos = 1, bilinear = 2, bicubic = 3 };

/// What preprocessor_config.json says.
struct ImageProcessor {
  struct Size {
    std::int64_t height = 0, width = 0;       ///< both given, or
    std::int64_t shortest_edge = 0;           ///< the shorter edge becomes this, the other keeps the proportions
  };
  std::string type;                           ///< "ViTImageProcessor"
  bool resize = true;
  Size size;
  Resampling resampling = Resampling::bilinear;
  std::optional<double> crop_fraction;        ///< convnext's crop_pct: below 384 the edge becomes edge / fraction, and a square is cut from it
  bool center_crop = false;
  Size crop;
  bool rescale = true;
  double rescale_factor = 1.0 / 255.0;
  bool normalise = true;
  std::array<double, 3> mean{}, deviation{};
};

/// Reads preprocessor_config.json; keys that it lacks are as the processor's class has them. Throws NotFoundError, FormatError, and
/// UnsupportedError for a class that is not one of those that resize, crop, rescale and normalise (ViT, DeiT, CLIP, Siglip, Bit, ConvNext; the
/// names that end in Fast, Pil or FeatureExtractor are theirs too).
ImageProcessor read_image_processor(const std::filesystem::path& file);

/// As Pillow resizes: in fixed point, first the rows, then the columns (Pillow 13 takes the columns first where it thinks that cheaper, which
/// changes values by up to four), with a filter as wide as a pixel of the result. Sizes must be positive.
PixelImage resized(const PixelImage& image, std::int64_t height, std::int64_t width, Resampling resampling);

/// [1, 3, height, width]. The reference is transformers' Pillow backend, whose uint8 steps are followed bit for bit; its torchvision backend
/// resizes with other rounding. Throws UsageError where the image is empty or has an edge that would vanish.
Tensor pixel_values(const PixelImage& image, const ImageProcessor& processor);

}  // namespace bigmodel
