// SPDX-License-Identifier: Apache-2.0
#include "support/loopback_hub.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <stdexcept>

#include "support/shared_folder.h"

extern "C" char** environ;

namespace bigmodel::test {
namespace {

pid_t spawn(std::vector<std::string> args, int input, int output) {
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (input >= 0) posix_spawn_file_actions_adddup2(&actions, input, 0);
  if (output >= 0) posix_spawn_file_actions_adddup2(&actions, output, 1);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot start " + args.front());
  return pid;
}

/// A certificate for 127.0.0.1 that nobody trusts until told to.
void make_certificate(const TempFolder& folder) {
  const pid_t pid = spawn({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=loopback",
                           "-addext", "subjectAltName=IP:127.0.0.1", "-out", (folder / "certificate.pem").string(), "-keyout",
                           (folder / "key.pem").string()},
                          -1, -1);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0) throw std::runtime_error("openssl made no certificate");
}

}  // namespace

LoopbackHub::LoopbackHub(Scheme scheme) {
  std::vector<std::string> args{"python3", (source_root() / "tests/support/loopback_hub.py").string(), "--log", folder_.write("log", "").string()};
  if (scheme == Scheme::https) {
    make_certificate(folder_);
    args.insert(args.end(), {"--certificate", certificate(), "--key", (folder_ / "key.pem").string()});
  }
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  pid_ = spawn(args, in[0], out[1]);
  ::close(in[0]);
  ::close(out[1]);
  input_ = in[1];
  std::string line;
  for (char c = 0; ::read(out[0], &c, 1) == 1 && c != '\n';) line += c;
  ::close(out[0]);
  const nlohmann::json ports = nlohmann::json::parse(line);
  const char* name = scheme == Scheme::https ? "https" : "http";
  endpoint_ = fmt::format("{}://127.0.0.1:{}", name, ports.at("hub").get<int>());
  cdn_ = fmt::format("{}://127.0.0.1:{}", name, ports.at("cdn").get<int>());
}

LoopbackHub::~LoopbackHub() {
  ::close(input_);
  ::kill(pid_, SIGTERM);
  int status = 0;
  ::waitpid(pid_, &status, 0);
}

std::vector<LoopbackHub::Request> LoopbackHub::requests() const {
  std::vector<Request> out;
  std::ifstream in(folder_ / "log");
  for (std::string line; std::getline(in, line);) {
    const nlohmann::json row = nlohmann::json::parse(line);
    out.push_back({row.at("server"), row.at("method"), row.at("path"), row.at("headers"), row.value("body", "")});
  }
  return out;
}

std::size_t LoopbackHub::count(const std::string& method, const std::string& part) const {
  const std::vector<Request> all = requests();
  return static_cast<std::size_t>(std::ranges::count_if(
      all, [&](const Request& r) { return r.method == method && r.path.find(part) != std::string::npos; }));
}

}  // namespace bigmodel::test
