// SPDX-License-Identifier: Apache-2.0
#include "cli/run_binary.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <stdexcept>

namespace bigmodel::test {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
    read_end = ends[0];
    write_end = ends[1];
  }
  void close_read() { close_end(read_end); }
  void close_write() { close_end(write_end); }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

 private:
  static void close_end(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

std::vector<std::string> environment_of(const RunOptions& options) {
  std::map<std::string, std::string> variables{{"HOME", "/nonexistent"}, {"LC_ALL", "C.UTF-8"}, {"TERM", "xterm"}, {"HF_HUB_OFFLINE", "1"}};
  const char* path = std::getenv("PATH");
  variables["PATH"] = path == nullptr ? "/usr/bin:/bin" : path;
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) variables[name] = value;
  }
  for (const auto& [name, value] : options.environment) variables[name] = value;
  std::vector<std::string> out;
  for (const auto& [name, value] : variables) out.push_back(name + "=" + value);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

std::string bigmodel_binary() { return BIGMODEL_BINARY; }
std::string probe_binary() { return BIGMODEL_PROBE; }

RunResult run_binary(const std::vector<std::string>& args, const RunOptions& options) {
  const std::string binary = options.binary.empty() ? bigmodel_binary() : options.binary;
  std::vector<std::string> arg_texts{binary};
  arg_texts.insert(arg_texts.end(), args.begin(), args.end());
  std::vector<std::string> variable_texts = environment_of(options);
  std::vector<char*> argv = pointers(arg_texts);
  std::vector<char*> envp = pointers(variable_texts);

  Pipe in;
  Pipe out;
  Pipe err;
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    ::signal(SIGPIPE, SIG_DFL);
    if (!options.folder.empty() && ::chdir(options.folder.c_str()) != 0) ::_exit(126);
    int out_fd = out.write_end;
    if (!options.stdout_path.empty()) out_fd = ::open(options.stdout_path.c_str(), O_WRONLY | O_CLOEXEC);
    if (out_fd < 0 || ::dup2(in.read_end, 0) < 0 || ::dup2(out_fd, 1) < 0 || ::dup2(err.write_end, 2) < 0) ::_exit(126);
    ::execve(binary.c_str(), argv.data(), envp.data());
    ::_exit(127);
  }
  in.close_read();
  out.close_write();
  err.close_write();
  if (options.close_stdout) out.close_read();
  ::signal(SIGPIPE, SIG_IGN);
  if (!options.input.empty() && ::write(in.write_end, options.input.data(), options.input.size()) < 0) {
    // the program did not want it: its own answer says why
  }
  if (options.signal_number == 0) in.close_write();

  RunResult result;
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  bool signalled = options.signal_number == 0;
  bool late = false;
  while (out.read_end >= 0 || err.read_end >= 0) {
    std::array<pollfd, 2> fds{{{out.read_end, POLLIN, 0}, {err.read_end, POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), options.signal_when ? 20 : 200);
    if (std::chrono::steady_clock::now() > deadline && !late) {
      late = true;
      ::kill(child, SIGKILL);
    }
    const auto drain = [&](Pipe& pipe, const pollfd& state, std::string& into) {
      if (pipe.read_end < 0 || state.revents == 0) return;
      std::array<char, 65536> buffer{};
      const ssize_t n = ::read(pipe.read_end, buffer.data(), buffer.size());
      if (n > 0) {
        into.append(buffer.data(), static_cast<std::size_t>(n));
      } else {
        pipe.close_read();
      }
    };
    drain(out, fds[0], result.out);
    drain(err, fds[1], result.err);
    if (!signalled && (options.signal_when ? options.signal_when() : !result.err.empty())) {
      signalled = true;
      ::kill(child, options.signal_number);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  result.exit_code = late ? 124 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace bigmodel::test
