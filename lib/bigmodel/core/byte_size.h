// SPDX-License-Identifier: Apache-2.0
// Byte sizes as people write them: one parser and one printer for the whole project.
// KB MB GB TB PB are powers of 1000, KiB ... PiB powers of 1024; never one for the other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bigmodel {

/// "10GB", "1.5 GiB", "512" (bytes), case of the unit ignored except that a lower-case final b (bits) is refused.
/// Decimal fractions; no sign, exponent, NaN or overflow. A fraction that is no whole byte rounds down.
/// Throws UsageError naming `object` (an option, say).
std::uint64_t parse_byte_size(std::string_view text, std::string_view object = "size");

/// Binary units with two decimals: "413.18 MiB", "236 B".
std::string format_binary(std::uint64_t size_bytes);

/// Decimal units with two decimals: "433.25 MB".
std::string format_decimal(std::uint64_t size_bytes);

}  // namespace bigmodel
