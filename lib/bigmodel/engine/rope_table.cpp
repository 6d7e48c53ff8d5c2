// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/engine/rope_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "bigmodel/core/error.h"
#include "bigmodel/engine/device_numbers.h"
#include "bigmodel/engine/operations_on.h"
#include "bigmodel/engine/roles.h"

namespace bigmodel {
namespace {

/// A number under a key of the map, or nullopt where absent or null.
std::optional<double> number(const spec::Map* map, std::string_view key) {
  const spec::Value* v = map == nullptr ? nullptr : spec::find(*map, key);
  if (v == nullptr) return std::nullopt;
  if (const std::int64_t* i = v->if_int()) return static_cast<double>(*i);
  if (const double* d = v->if_double()) return *d;
  return std::nullopt;
}

std::vector<double> numbers(const spec::Map* map, std::string_view key) {
  std::vector<double> out;
  const spec::Value* v = map == nullptr ? nullptr : spec::find(*map, key);
  if (v == nullptr || v->if_list() == nullptr) return out;
  for (const spec::Value& item : *v->if_list()) {
    if (const std::int64_t* i = item.if_int()) out.push_back(static_cast<double>(*i));
    if (const double* d = item.if_double()) out.push_back(*d);
  }
  return out;
}

double yarn_gain(double scale, double mscale) { return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0; }

}  // namespace

RopeTable::RopeTable(Roles& roles, std::int64_t head_dim) {
  const std::string pairing = roles.text("rope", "");
  dim_ = roles.integer("rope_dim", head_dim);
  theta_ = roles.number("rope_theta", 10000.0F);
  const spec::Value* scaling = roles.find("rope_scaling");
  max_positions_ = roles.integer("rope_max_positions", 0);
  original_positions_ = roles.integer("rope_original_positions", 0);
  short_only_ = roles.boolean("rope_short_only", false);
  if (pairing.empty()) return;
  present_ = true;
  if (pairing != "half" && pairing != "interleaved") roles.refuse("rope", fmt::format("unknown pairing '{}'", pairing));
  if (pairing == "interleaved") pairing_ = ops::RopePairing::interleaved;
  if (dim_ < 0 || dim_ > head_dim || dim_ > (1 << 20)) roles.refuse("rope_dim", fmt::format("{} of a head of {}", dim_, head_dim));
  axes_ = roles.integer("rope_axes", 1);
  if (axes_ < 1 || axes_ > 8 || (axes_ > 1 && dim_ % (2 * axes_) != 0)) roles.refuse("rope_axes", fmt::format("{} of {} values", axes_, dim_));
  if (axes_ > 1) sections_.assign(static_cast<std::size_t>(axes_), dim_ / 2 / axes_);
  if (const spec::Value* list = roles.find("rope_sections")) {
    std::int64_t pairs = 0;
    for (const spec::Value& item : list->if_list() == nullptr ? spec::List{} : *list->if_list()) {
      const std::int64_t* count = item.if_int();
      if (count == nullptr || *count < 0 || *count > dim_) roles.refuse("rope_sections", fmt::format("expected numbers of pairs, got {}", item.describe()));
      sections_.push_back(*count);
      pairs += *count;
    }
    if (pairs != dim_ / 2 || axes_ > 1) roles.refuse("rope_sections", fmt::format("{} pairs of {}", pairs, dim_ / 2));
  }

  const spec::Map* map = scaling == nullptr ? nullptr : scaling->if_map();
  if (scaling != nullptr && map == nullptr) roles.refuse("rope_scaling", fmt::format("expected a map, got {}", scaling->describe()));
  std::string kind = "default";
  for (const char* key : {"type", "rope_type"}) {
    if (map == nullptr) break;
    if (const spec::Value* v = spec::find(*map, key); v != nullptr && v->if_string() != nullptr) kind = *v->if_string();
  }
  if (kind == "default" || kind == "mrope") return;
  if (original_positions_ == 0) original_positions_ = static_cast<std::int64_t>(number(map, "original_max_position_embeddings").value_or(static_cast<double>(max_positions_)));
  const std::optional<double> factor = number(map, "factor");
  const auto need = [&](std::string_view key) {
    const std::optional<double> v = number(map, key);
    if (!v) roles.refuse("rope_scaling", fmt::format("{} without '{}'", kind, key));
    return *v;
  };
  const auto need_positions = [&](std::int64_t positions) {
    if (positions <= 0) roles.refuse("rope_scaling", fmt::format("{} without a number of positions", kind));
  };
  if (kind == "linear") {
    kind_ = Kind::linear;
    factor_ = need("factor");
  } else if (kind == "dynamic") {
    kind_ = Kind::dynamic;
    factor_ = need("factor");
    need_positions(max_positions_);
    if (dim_ <= 2) roles.refuse("rope_scaling", "dynamic needs more than one pair");
  } else if (kind == "llama3") {
    kind_ = Kind::llama3;
    factor_ = need("factor");
    low_ = need("low_freq_factor");
    high_ = need("high_freq_factor");
    need_positions(original_positions_);
  } else if (kind == "proportional") {
    kind_ = Kind::proportional;
    factor_ = factor.value_or(1.0);
    proportion_ = number(map, "partial_rotary_factor").value_or(1.0);
    dim_ = head_dim;
  } else if (kind == "yarn") {
    kind_ = Kind::yarn;
    need_positions(original_positions_);
    factor_ = factor.value_or(static_cast<double>(max_positions_) / static_cast<double>(original_positions_));
    const double mscale = number(map, "mscale").value_or(0);
    const double all_dim = number(map, "mscale_all_dim").value_or(0);
    const double derived = mscale != 0 && all_dim != 0 ? yarn_gain(factor_, mscale) / yarn_gain(factor_, all_dim) : yarn_gain(factor_, 1);
    gain_ = number(map, "attention_factor").value_or(derived);
    const auto or_default = [&](std::string_view key, double fallback) {
      const double v = number(map, key).value_or(0);
      return v == 0 ? fallback : v;
    };
    beta_fast_ = or_default("beta_fast", 32);
    beta_slow_ = or_default("beta_slow", 1);
    if (const spec::Value* v = spec::find(*map, "truncate")) truncate_ = v->truthy();
  } else if (kind == "longrope") {
    kind_ = Kind::longrope;
    need_positions(original_positions_);
    short_factors_ = numbers(map, "short_factor");
    long_factors_ = numbers(map, "long_factor");
    const auto pairs = static_cast<std::size_t>(dim_ + 1) / 2;
    if (short_factors_.size() != pairs || long_factors_.size() != pairs) {
      roles.refuse("rope_scaling", fmt::format("longrope with {} and {} factors, expected {}", short_factors_.size(), long_factors_.size(), pairs));
    }
    factor_ = factor.value_or(static_cast<double>(max_positions_) / static_cast<double>(original_positions_));
    const double derived = factor_ <= 1 ? 1.0 : std::sqrt(1 + std::log(factor_) / std::log(static_cast<double>(original_positions_)));
    gain_ = number(map, "attention_factor").value_or(derived);
    long_gain_ = gain_;
    // Phimoe states its gains.
    if (const auto v = number(map, "short_mscale")) gain_ = *v;
    if (const auto v = number(map, "long_mscale")) long_gain_ = *v;
  } else {
    roles.refuse("rope_scaling", fmt::format("unknown rope_type '{}'", kind));
  }
}

RopeTable::Frequencies RopeTable::frequencies(std::int64_t longest) const {
  Frequencies out;
  out.gain = static_cast<float>(gain_);
  const auto pairs = static_cast<std::size_t>(dim_ + 1) / 2;
  double theta = theta_;
  if (kind_ == Kind::dynamic) {
    const auto length = static_cast<double>(std::max(longest, max_positions_));
    const auto dim = static_cast<double>(dim_);
    theta *= std::pow(factor_ * length / static_cast<double>(max_positions_) - (factor_ - 1), dim / (dim - 2));
  }
  const std::size_t each = axes_ > 1 ? pairs / static_cast<std::size_t>(axes_) : std::max<std::size_t>(pairs, 1);
  // The reference's powers are float32, of a float32 exponent.
  const auto power = [&](std::size_t i) { return static_cast<float>(std::pow(static_cast<double>(static_cast<float>(theta)), static_cast<double>(static_cast<float>(2 * (i % each)) / static_cast<float>(dim_ / axes_)))); };
  const bool is_long = kind_ == Kind::longrope && longest > original_positions_;
  if (is_long) out.gain = static_cast<float>(long_gain_);

  double low = 0;
  double high = 0;
  if (kind_ == Kind::yarn) {
    const auto correction = [&](double rotations) {
      return static_cast<double>(dim_) * std::log(static_cast<double>(original_positions_) / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta_));
    };
    low = correction(beta_fast_);
    high = correction(beta_slow_);
    if (truncate_) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, static_cast<double>(dim_ - 1));
    if (low == high) high += 0.001;
  }
  for (std::size_t i = 0; i < pairs; ++i) {
    float f = 1.0F / power(i);
    switch (kind_) {
      case Kind::plain:
      case Kind::dynamic: break;
      case Kind::linear: f /= static_cast<float>(factor_); break;
      case Kind::proportional: {
        const auto angles = static_cast<std::size_t>(std::max(0.0, std::floor(proportion_ * static_cast<double>(dim_) / 2)));
        f = i < angles ? f / static_cast<float>(factor_) : 0.0F;
        break;
      }
      case Kind::yarn: {
        const float interpolated = 1.0F / (static_cast<float>(factor_) * power(i));
        const float ramp = std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0F, 1.0F);
        const float keep = 1.0F - ramp;
        f = interpolated * (1.0F - keep) + f * keep;
        break;
      }
      case Kind::longrope: f = 1.0F / (static_cast<float>((is_long && !short_only_ ? long_factors_ : short_factors_)[i]) * power(i)); break;
      case Kind::llama3: {
        const auto context = static_cast<double>(original_positions_);
        const double wavelength = 2 * std::numbers::pi / f;
        if (wavelength > context / low_) {
          f /= static_cast<float>(factor_);
        } else if (wavelength >= context / high_) {
          const auto smooth = static_cast<float>((context / wavelength - low_) / (high_ - low_));
          f = (1.0F - smooth) * f / static_cast<float>(factor_) + smooth * f;
        }
        break;
      }
    }
    out.inv_freq.push_back(f);
  }
  return out;
}

void RopeTable::apply(const Tensor& x, std::int64_t rows, std::int64_t heads, std::int64_t head_dim, ForwardState& state) const {
  if (!present_ || dim_ == 0) return;
  const Frequencies f = frequencies(state.longest);
  // Their frequencies are others for the next token.
  if (kind_ == Kind::dynamic || kind_ == Kind::longrope) state.repeatable = false;
  const OperationsOn on(x, state);
  const Accelerator* gpu = on.accelerator();
  const auto turn = [&](int axis, const std::vector<float>& inv_freq, float gain, std::size_t section) {
    const std::vector<std::int64_t>& all = axis < 0 ? state.positions : state.axis_positions[static_cast<std::size_t>(axis)];
    BIGMODEL_ASSERT(static_cast<std::int64_t>(2 * inv_freq.size()) <= head_dim && static_cast<std::int64_t>(all.size()) == rows);
    ops::RopeAngles angles{all.data(), inv_freq.data(), static_cast<std::int64_t>(inv_freq.size()), gain, pairing_};
    if (gpu != nullptr) {
      angles.positions = state.numbers().positions(*gpu, state, axis);
      angles.inv_freq = state.numbers().floats(*gpu, fmt::format("rope {} {}", static_cast<const void*>(this), section), inv_freq);
    }
    on->rope(x.data(), rows, heads, head_dim, angles);
  };
  if (sections_.empty() || (state.axis_positions.empty() && axes_ == 1)) return turn(-1, f.inv_freq, f.gain, 0);
  if (axes_ > 1 && static_cast<std::int64_t>(state.axis_positions.size()) != axes_) throw UnsupportedError(fmt::format("positions on {} axes, expected {}", state.axis_positions.size(), axes_));
  // An angle of zero changes nothing: each section is turned by itself.
  float gain = f.gain;
  std::size_t first = 0;
  for (std::size_t s = 0; s < sections_.size(); ++s) {
    std::vector<float> own(f.inv_freq.size(), 0.0F);
    const auto pairs = static_cast<std::size_t>(sections_[s]);
    std::copy_n(f.inv_freq.begin() + static_cast<std::ptrdiff_t>(first), pairs, own.begin() + static_cast<std::ptrdiff_t>(first));
    turn(static_cast<int>(s % state.axis_positions.size()), own, gain, s);
    gain = 1;
    first += pairs;
  }
}

}  // namespace bigmodel
