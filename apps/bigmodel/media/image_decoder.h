// SPDX-License-Identifier: Apache-2.0
// Pictures from PNG and JPEG files. libpng and libjpeg lie in a module of their own, so that only a run with a picture loads them.
#pragma once

#include <string>
#include <string_view>

#include "bigmodel/engine/inputs/image_processor.h"

namespace bigmodel::app {

/// Whether the bytes begin as a PNG or JPEG file does.
bool is_image(std::string_view bytes) noexcept;

/// Colours as Pillow's convert("RGB") gives them: grey as three equal ones, palettes looked up, 16 bits cut to 8, transparency dropped.
/// Throws FormatError (damaged, cut short, too large), UnsupportedError (four inks), IoError where the module cannot be loaded.
PixelImage decode_image(std::string_view bytes, const std::string& object);

/// What the module offers as bigmodel_decode_image: the fault, or an empty text.
using ImageDecoder = std::string (*)(std::string_view bytes, PixelImage& out);

}  // namespace bigmodel::app
