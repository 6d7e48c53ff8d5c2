// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/byte_size.h"

#include <doctest/doctest.h>

#include <string>

#include "bigmodel/core/error.h"

using namespace bigmodel;

TEST_SUITE("core/byte_size") {
  TEST_CASE("reads decimal, binary and bare sizes") {
    struct Row {
      const char* text;
      std::uint64_t bytes;
    };
    for (const Row& row : {Row{"0", 0}, Row{"512", 512}, Row{"10GB", 10'000'000'000}, Row{"10gb", 10'000'000'000},
                           Row{"1.5GiB", 1'610'612'736}, Row{" 200 MB ", 200'000'000}, Row{"1KiB", 1024},
                           Row{"2PB", 2'000'000'000'000'000}, Row{"1.0000000000001TiB", 1'099'511'627'776},
                           Row{"18446744073709551615", UINT64_MAX}, Row{"0.3KB", 300}, Row{"7B", 7}}) {
      CAPTURE(row.text);
      CHECK(parse_byte_size(row.text) == row.bytes);
    }
  }

  TEST_CASE("refuses what is no size") {
    for (const char* text : {"", " ", "-1", "+1", "1e9", "NaN", "inf", "1.GB", ".5GB", "10XB", "10G", "10Gb", "1 2",
                             "18446744073709551616", "99999999999PB", "GB", "1.5.2GB", "0x10"}) {
      CAPTURE(text);
      CHECK_THROWS_AS(parse_byte_size(text), UsageError);
    }
  }

  TEST_CASE("prints binary and decimal units without crossing them") {
    CHECK(format_binary(0) == "0 B");
    CHECK(format_binary(1023) == "1023 B");
    CHECK(format_binary(433249280) == "413.18 MiB");
    CHECK(format_binary(1024 * 1024 - 1) == "1.00 MiB");
    CHECK(format_decimal(433249280) == "433.25 MB");
    CHECK(format_binary(UINT64_MAX) == "16.00 EiB");
  }
}
