// SPDX-License-Identifier: Apache-2.0
// The first Ctrl-C (or SIGTERM) asks a stoppable command to stop, the second ends the process at once. Either way the
// process dies by the signal, so that shells and loops see what happened.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace bigmodel::app {

/// Blocks SIGINT and SIGTERM in the constructing thread and those it starts, and waits for them in a thread of its own
/// (a handler could not set a stop token safely). Construct it before other threads exist; one at a time.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  std::stop_token token() const { return stop_.get_token(); }
  /// The signal that came, or 0.
  int received() const { return received_.load(); }

 private:
  void watch();

  std::stop_source stop_;
  std::atomic<int> received_{0};
  std::atomic<bool> finished_{false};
  std::thread thread_;
};

/// Restores the signal's default and raises it: does not return where the signal ends processes.
void die_by_signal(int signal_number);

/// A closed pipe and a file above the process's limit are error codes of write(), not signals.
void ignore_write_signals();

/// Gives the number 0 to nothing else where standard input is closed, so that no file that is opened later is taken for it.
void occupy_standard_input();

}  // namespace bigmodel::app
