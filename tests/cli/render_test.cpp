// SPDX-License-Identifier: Apache-2.0
// Tables, bars, progress lines and terminal rules, from inside.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include "bigmodel/core/error.h"
#include "cli/options.h"
#include "render/accelerate_table.h"
#include "render/bars.h"
#include "render/format.h"
#include "render/notes.h"
#include "render/progress.h"
#include "render/terminal.h"
#include "render/text_table.h"

namespace bigmodel::test {
namespace {

using namespace bigmodel::app;

const TextTable& sample() {
  static const TextTable kTable{{{"dtype"}, {"total", Align::right}}, {{"float32", "4 B"}, {"é|,", "10 B"}}};
  return kTable;
}

EnvironmentLookup variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto it = values.find(name);
    return it == values.end() ? std::nullopt : std::optional(it->second);
  };
}

/// A pipe whose read end collects what Notes wrote.
struct Collector {
  int fds[2] = {-1, -1};
  Collector() { REQUIRE(::pipe2(fds, O_NONBLOCK) == 0); }
  ~Collector() {
    ::close(fds[0]);
    ::close(fds[1]);
  }
  std::string take() {
    char buffer[4096];
    const ssize_t n = ::read(fds[0], buffer, sizeof buffer);
    return n <= 0 ? std::string{} : std::string(buffer, static_cast<std::size_t>(n));
  }
};

}  // namespace

TEST_SUITE("render/table") {
  TEST_CASE("draws a box by terminal cells, not bytes") {
    CHECK(box_table(sample(), {}) ==
          "┌─────────┬───────┐\n│ dtype   │ total │\n├─────────┼───────┤\n│ float32 │   4 B │\n│ é|,     │  10 B │\n"
          "└─────────┴───────┘\n");
  }
  TEST_CASE("draws in ASCII where the terminal wants that") {
    CHECK(box_table(sample(), {.unicode = false}).starts_with("+---------+-------+\n| dtype   | total |\n"));
  }
  TEST_CASE("lists rows one below the other on a terminal that is too narrow") {
    CHECK(box_table(sample(), {.is_tty = true, .width_columns = 20 - 2}) ==
          "dtype: float32\ntotal: 4 B\n\ndtype: é|,\ntotal: 10 B\n");
    CHECK(box_table(sample(), {.is_tty = true, .width_columns = 19}).starts_with("┌"));
    CHECK(box_table(sample(), {.is_tty = false, .width_columns = 10}).starts_with("┌"));
  }
  TEST_CASE("quotes CSV fields that need it") {
    CHECK(csv_table(sample()) == "dtype,total\nfloat32,4 B\n\"é|,\",10 B\n");
    CHECK(csv_field("a\"b") == "\"a\"\"b\"");
  }
  TEST_CASE("escapes pipes in Markdown and aligns") {
    CHECK(markdown_table(sample()) == "| dtype | total |\n|---|---:|\n| float32 | 4 B |\n| é\\|, | 10 B |\n");
  }
  TEST_CASE("counts wide and combining characters as terminals do") {
    CHECK(display_width("abc") == 3);
    CHECK(display_width("日本") == 4);
    CHECK(display_width("e\u0301") == 1);
    CHECK(display_width("\xff\xfe") == 2);
  }
}

TEST_SUITE("render/accelerate_table") {
  TEST_CASE("prints numbers as Python does") {
    CHECK(accelerate_bytes(236, true) == "236 bytes");
    CHECK(accelerate_bytes(118, false) == "118.0 bytes");
    CHECK(accelerate_bytes(29.5, false) == "29.5 bytes");
    CHECK(accelerate_bytes(1023.999, false) == "1024.0 bytes");
    CHECK(accelerate_bytes(1048575, true) == "1024.0 KB");
    CHECK(accelerate_bytes(9437184, true) == "9.0 MB");
    CHECK(accelerate_bytes(102441032, true) == "97.7 MB");
    CHECK(accelerate_bytes(433249280, true) == "413.18 MB");
    CHECK(accelerate_bytes(1125899906842624.0, true) == "1.0 PB");
  }
  TEST_CASE("widens its lines with the title as the reference does") {
    const std::vector<std::string> headers{"dtype", "Largest Layer", "Total Size", "Training using Adam"};
    const std::vector<std::vector<std::string>> rows{{"float32", "a", "b", "c"}};
    // Title width -> width of the top line and of the title's line; the cells are 49 wide together.
    const int expected[][3] = {{48, 54, 54}, {49, 54, 54}, {50, 62, 62}, {51, 60, 60}, {52, 58, 58}, {53, 56, 56},
                               {54, 54, 56}, {55, 56, 57}, {56, 58, 58}, {57, 60, 60}, {58, 62, 62}};
    for (const auto& [title_width, top_width, row_width] : expected) {
      CAPTURE(title_width);
      const std::string table = accelerate_table(std::string(static_cast<std::size_t>(title_width), 't'), headers, rows);
      const std::size_t first = table.find('\n');
      const std::size_t second = table.find('\n', first + 1);
      CHECK(display_width(table.substr(0, first)) == top_width);
      CHECK(display_width(table.substr(first + 1, second - first - 1)) == row_width);
    }
  }
}

TEST_SUITE("render/bars") {
  TEST_CASE("draws to an eighth of a cell and never wider") {
    CHECK(bar(0, 4, {}) == "    ");
    CHECK(bar(1, 4, {}) == "████");
    CHECK(bar(0.5, 4, {}) == "██  ");
    CHECK(bar(0.53125, 4, {}) == "██▏ ");
    CHECK(bar(7, 4, {}) == "████");
    CHECK(bar(-1, 4, {}) == "    ");
    CHECK(bar(0.5, 4, {.unicode = false}) == "##..");
  }
}

TEST_SUITE("render/terminal") {
  TEST_CASE("judges colour in the documented order") {
    const int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    const auto colored = [&](std::string_view option, std::map<std::string, std::string> values) {
      return inspect_terminal(fd, option, variables(std::move(values))).color;
    };
    CHECK_FALSE(colored("auto", {}));
    CHECK(colored("auto", {{"FORCE_COLOR", "1"}}));
    CHECK_FALSE(colored("auto", {{"FORCE_COLOR", "0"}}));
    CHECK_FALSE(colored("auto", {{"FORCE_COLOR", "1"}, {"NO_COLOR", "x"}}));
    CHECK(colored("auto", {{"FORCE_COLOR", "1"}, {"NO_COLOR", ""}}));
    CHECK(colored("always", {{"NO_COLOR", "x"}}));
    CHECK_FALSE(colored("never", {{"FORCE_COLOR", "1"}}));
    ::close(fd);
  }
  TEST_CASE("takes the width from COLUMNS and the characters from the locale") {
    CHECK(inspect_terminal(-1, "auto", variables({{"COLUMNS", "132"}})).width_columns == 132);
    CHECK(inspect_terminal(-1, "auto", variables({{"COLUMNS", "wide"}})).width_columns == 80);
    CHECK(inspect_terminal(-1, "auto", variables({{"LANG", "de_DE.UTF-8"}})).unicode);
    CHECK_FALSE(inspect_terminal(-1, "auto", variables({{"LC_ALL", "C"}, {"LANG", "de_DE.UTF-8"}})).unicode);
    CHECK(inspect_terminal(-1, "auto", variables({})).unicode);
    CHECK_FALSE(inspect_terminal(-1, "auto", variables({{"TERM", "dumb"}})).unicode);
  }
}

TEST_SUITE("render/progress") {
  TEST_CASE("says share, rate and time left") {
    CHECK(progress_text("copying", 42, 100, 0) == "copying 42 % of 100 B");
    CHECK(progress_text("copying", 1000000, 4000000, 1) == "copying 25 % of 4.00 MB, 1.00 MB/s, 3 s left");
    CHECK(progress_text("reading", 2000, 0, 0) == "reading 2.00 KB");
    CHECK(progress_text("x", 1, 10000000000000, 1) == "x 0 % of 10.00 TB, 1 B/s, 99+ h left");
  }
  TEST_CASE("is silent for half a second and then draws at most ten frames a second") {
    Collector pipe;
    std::chrono::steady_clock::time_point now{};
    Notes notes(pipe.fds[1], {.is_tty = true}, false, false);
    {
      Progress progress(notes, [&] { return now; });
      const ProgressCallback report = progress.callback();
      now += std::chrono::seconds(10);   // somebody was asked for something
      report("copying", 1, 10);
      CHECK(pipe.take() == "");
      now += std::chrono::milliseconds(600);
      report("copying", 2, 10);
      CHECK(pipe.take().find("copying 20 %") != std::string::npos);
      now += std::chrono::milliseconds(50);
      report("copying", 3, 10);
      CHECK(pipe.take() == "");
      now += std::chrono::milliseconds(60);
      report("copying", 4, 10);
      CHECK(pipe.take().find("copying 40 %") != std::string::npos);
    }
    CHECK(pipe.take() == "\r\x1b[2K\x1b[?25h");
  }
  TEST_CASE("writes a plain line every 30 s where there is no terminal") {
    Collector pipe;
    std::chrono::steady_clock::time_point now{};
    Notes notes(pipe.fds[1], {}, false, false);
    Progress progress(notes, [&] { return now; });
    const ProgressCallback report = progress.callback();
    now += std::chrono::seconds(29);
    report("copying", 1, 10);
    CHECK(pipe.take() == "");
    now += std::chrono::seconds(2);
    report("copying", 5, 10);
    CHECK(pipe.take().starts_with("copying 50 % of 10 B"));
  }
}

TEST_SUITE("render/format") {
  TEST_CASE("lets the stronger of --json and --format win and refuses a contradiction") {
    const CommandSpec spec{.name = "x", .options = {format_option({"table", "json", "jsonl", "csv"})}};
    const OptionSpec& json = *find_option(&spec, "json");
    const OptionSpec& format = *find_option(&spec, "format");
    Options options(&spec);
    CHECK(output_format(options) == Format::table);
    options.set(json, {{"true"}, Origin::environment});
    CHECK(output_format(options) == Format::json);
    options.set(format, {{"csv"}, Origin::command_line});
    CHECK(output_format(options) == Format::csv);
    options.set(json, {{"true"}, Origin::command_line});
    CHECK_THROWS_AS(output_format(options), UsageError);
    options.set(format, {{"jsonl"}, Origin::command_line});
    CHECK(output_format(options) == Format::jsonl);
  }
}

TEST_SUITE("cli/options") {
  TEST_CASE("checks values by kind") {
    const CommandSpec spec{.name = "x",
                           .options = {{.name = "count", .kind = ValueKind::integer, .value_name = "N"},
                                       {.name = "limit", .kind = ValueKind::size, .value_name = "SIZE"},
                                       {.name = "dtypes",
                                        .kind = ValueKind::dtype,
                                        .value_name = "DTYPE",
                                        .default_text = "float32 int8",
                                        .list = ListStyle::spaces}}};
    Options options(&spec);
    CHECK(options.dtypes("dtypes") == std::vector{DType::float32, DType::int8});
    options.set(spec.options[0], {{"17"}, Origin::command_line});
    CHECK(options.find_integer("count") == 17);
    options.set(spec.options[1], {{"1.5KiB"}, Origin::command_line});
    CHECK(options.find_size_bytes("limit") == 1536);
    options.set(spec.options[2], {{"bf16,float16", "int4"}, Origin::command_line});
    CHECK(options.dtypes("dtypes") == std::vector{DType::bfloat16, DType::float16, DType::int4});
    for (const char* text : {"-1", "1.5", "", "9999999999999999999", "1x"}) {
      CAPTURE(text);
      CHECK_THROWS_AS(options.set(spec.options[0], {{text}, Origin::command_line}), UsageError);
    }
    CHECK_THROWS_AS(options.set(spec.options[2], {{","}, Origin::command_line}), UsageError);
    CHECK_THROWS_AS(options.set(spec.options[2], {{"flaot16"}, Origin::command_line}), UsageError);
  }
}

}  // namespace bigmodel::test
