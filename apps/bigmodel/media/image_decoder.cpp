// SPDX-License-Identifier: Apache-2.0
// The module behind decode_image: libpng and libjpeg. Both report errors by jumping, so nothing with a destructor lives in the jumping frames.
#include "media/image_decoder.h"

#include <fmt/format.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

// After <cstdio>, which it needs.
#include <jpeglib.h>
#include <png.h>

namespace {

/// A picture of more pixels is refused before memory is asked for.
constexpr std::int64_t kMostPixels = std::int64_t{1} << 27;

bool set_size(std::int64_t width, std::int64_t height, bigmodel::PixelImage& out) {
  if (width < 1 || height < 1 || width > kMostPixels / height) return false;
  out.width = width;
  out.height = height;
  out.rgb.resize(static_cast<std::size_t>(width * height * 3));
  return true;
}

std::string decode_png(std::string_view bytes, bigmodel::PixelImage& out) {
  struct Source {
    std::string_view left;
  } source{bytes};
  char message[128] = "damaged";
  png_structp png = png_create_read_struct(
      PNG_LIBPNG_VER_STRING, message,
      [](png_structp p, png_const_charp text) {
        std::snprintf(static_cast<char*>(png_get_error_ptr(p)), 128, "%s", text);
        png_longjmp(p, 1);
      },
      [](png_structp, png_const_charp) {});
  png_infop info = png == nullptr ? nullptr : png_create_info_struct(png);
  if (info == nullptr) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    return "no memory for a PNG file";
  }
  if (setjmp(png_jmpbuf(png)) != 0) {  // NOLINT: how libpng reports errors
    png_destroy_read_struct(&png, &info, nullptr);
    return fmt::format("a PNG file that cannot be read: {}", message);
  }
  png_set_read_fn(png, &source, [](png_structp p, png_bytep data, png_size_t size) {
    auto& from = *static_cast<Source*>(png_get_io_ptr(p));
    if (from.left.size() < size) png_error(p, "cut short");
    std::memcpy(data, from.left.data(), size);
    from.left.remove_prefix(size);
  });
  png_read_info(png, info);
  const bool too_large = !set_size(png_get_image_width(png, info), png_get_image_height(png, info), out);
  if (!too_large) {
    png_set_strip_16(png);
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    for (int pass = 0; pass < passes; ++pass) {
      for (std::int64_t y = 0; y < out.height; ++y) png_read_row(png, out.rgb.data() + y * out.width * 3, nullptr);
    }
    png_read_end(png, nullptr);
  }
  png_destroy_read_struct(&png, &info, nullptr);
  return too_large ? "a picture of more than 128 million pixels" : "";
}

struct JpegErrors {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

std::string decode_jpeg(std::string_view bytes, bigmodel::PixelImage& out) {
  jpeg_decompress_struct jpeg;
  JpegErrors errors;
  jpeg.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = [](j_common_ptr j) {
    auto& own = *reinterpret_cast<JpegErrors*>(j->err);
    j->err->format_message(j, own.message);
    std::longjmp(own.jump, 1);
  };
  // Data that end early are a warning to libjpeg, and an error here: half a picture is not the picture.
  errors.base.emit_message = [](j_common_ptr j, int level) {
    if (level < 0) j->err->error_exit(j);
  };
  if (setjmp(errors.jump) != 0) {  // NOLINT: how libjpeg reports errors
    jpeg_destroy_decompress(&jpeg);
    return fmt::format("a JPEG file that cannot be read: {}", errors.message);
  }
  jpeg_create_decompress(&jpeg);
  jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&jpeg, TRUE);
  const char* fault = nullptr;
  if (jpeg.num_components == 4) {
    fault = "a JPEG file of four inks (CMYK), expected grey or colours";
  } else if (!set_size(jpeg.image_width, jpeg.image_height, out)) {
    fault = "a picture of more than 128 million pixels";
  } else {
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
      JSAMPROW row = out.rgb.data() + static_cast<std::int64_t>(jpeg.output_scanline) * out.width * 3;
      jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_decompress(&jpeg);
  }
  jpeg_destroy_decompress(&jpeg);
  return fault == nullptr ? "" : fault;
}

}  // namespace

extern "C" std::string bigmodel_decode_image(std::string_view bytes, bigmodel::PixelImage& out) {
  try {
    return bytes.starts_with("\x89PNG") ? decode_png(bytes, out) : decode_jpeg(bytes, out);
  } catch (const std::bad_alloc&) {
    return "no memory for the picture";
  }
}
