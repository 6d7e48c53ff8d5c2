// SPDX-License-Identifier: Apache-2.0
// The placement of equal parts on devices of different size and speed that takes the least time per step, found exactly.
// Plain numbers in and out; what the parts are is optimal_map's business.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace bigmodel {

/// `count` equal parts that cannot be split.
struct PackingPart {
  std::int64_t count = 1;
  std::int64_t memory_bytes = 0;   ///< each, where it is stored
  std::optional<std::int64_t> slot_bytes;   ///< of a buffer that it is run through from elsewhere; none: all of it
  std::int64_t local_bytes = 0;    ///< more, on the device that runs it (cache)
  double read_bytes = 0;           ///< of memory_bytes, read in every step
  double local_read_bytes = 0;     ///< read in every step from the device that runs it

  std::int64_t buffer_bytes() const { return slot_bytes.value_or(memory_bytes); }
};

struct PackingDevice {
  std::int64_t capacity_bytes = 0;
  double bytes_per_second = 1;
  std::int64_t workspace_bytes = 0;  ///< taken as soon as the device runs anything
};

/// `runs[0]` is the main device: it also runs what only lies on a storing device, through `slots` buffers that hold any such part.
/// It must be the fastest of `runs`. `stores` are in the order of the way to the main device: what lies on one passes all before it.
struct PackingProblem {
  std::vector<PackingPart> parts;
  std::vector<PackingDevice> runs;
  std::vector<PackingDevice> stores;
  std::int64_t slots = 2;
  double hop_seconds = 0;            ///< for every running device in use but the main one
};

/// counts[part][device]: devices are `runs`, then `stores`.
using PackingCounts = std::vector<std::vector<std::int64_t>>;

struct PackingTime {
  double run_seconds = 0;               ///< reads of all running devices one after the other
  std::vector<double> store_seconds;    ///< of each storing device, beside the running ones
  double step_seconds = 0;              ///< the largest of these: copies overlap with running
  /// What is minimised: step_seconds, and a millionth of all the others so that ties are not left to chance.
  double objective = 0;
};

/// The time of a placement, or nothing where it does not fit.
std::optional<PackingTime> packing_time(const PackingProblem& problem, const PackingCounts& counts);

struct Packing {
  PackingCounts counts;
  PackingTime time;
  bool proved = true;   ///< false: the search was cut off (many different parts); the placement fits but may not be the best
};

/// Nothing where no placement fits (or, if the search was cut off, none was found). Work is bounded; the result depends on nothing
/// but the problem.
std::optional<Packing> pack(const PackingProblem& problem);

}  // namespace bigmodel
