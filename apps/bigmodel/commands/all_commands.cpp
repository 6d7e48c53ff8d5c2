// SPDX-License-Identifier: Apache-2.0
// The commands of the program, in the order that help lists them.
#include "commands/command.h"
#include "commands/complete.h"
#include "commands/doctor.h"
#include "commands/download.h"
#include "commands/edit.h"
#include "commands/estimate_memory.h"
#include "commands/generate.h"
#include "commands/help.h"
#include "commands/infer_device_map.h"
#include "commands/init.h"
#include "commands/inspect.h"
#include "commands/push.h"
#include "commands/run.h"
#include "commands/serve_estimate.h"
#include "commands/shard.h"
#include "commands/tokenize.h"
#include "commands/verify.h"

namespace bigmodel::app {

std::span<const Command> all_commands() {
  static const Command kCommands[] = {
      estimate_memory_command(),
      shard_command(),
      verify_command(),
      edit_command(),
      infer_device_map_command(),
      init_command(),
      inspect_command(),
      run_command(),
      tokenize_command(),
      download_command(),
      push_command(),
      serve_estimate_command(),
      doctor_command(),
      help_command(),
      generate_command(),
      complete_command(),
  };
  return kCommands;
}

}  // namespace bigmodel::app
