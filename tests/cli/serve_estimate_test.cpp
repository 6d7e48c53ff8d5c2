// SPDX-License-Identifier: Apache-2.0
// `serve-estimate` as a browser meets it: a process on loopback.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "cli/run_binary.h"

namespace bigmodel::test {
namespace {

/// The running program; ends with the object.
class Server {
 public:
  Server() {
    const std::string binary = bigmodel_binary();
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    child_ = fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      close(ends[0]);
      close(ends[1]);
      setenv("HF_HUB_OFFLINE", "1", 1);
      execl(binary.c_str(), "bigmodel", "serve-estimate", "--port", "0", static_cast<char*>(nullptr));
      _exit(127);
    }
    close(ends[1]);
    std::string line;
    for (char c = 0; read(ends[0], &c, 1) == 1 && c != '\n';) line += c;
    close(ends[0]);
    REQUIRE(line.starts_with("http://127.0.0.1:"));
    port_ = std::stoi(line.substr(17));
  }
  ~Server() {
    if (child_ > 0) stop(SIGKILL);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int stop(int signal_number) {
    int status = 0;
    kill(child_, signal_number);
    waitpid(child_, &status, 0);
    child_ = -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

  std::string ask(const std::string& target, const std::string& host = "127.0.0.1:1") const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const std::string request = "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
    REQUIRE(write(fd, request.data(), request.size()) == static_cast<ssize_t>(request.size()));
    std::string out;
    char piece[4096];
    for (ssize_t n = 0; (n = read(fd, piece, sizeof piece)) > 0;) out.append(piece, static_cast<std::size_t>(n));
    close(fd);
    return out;
  }

 private:
  pid_t child_ = -1;
  int port_ = 0;
};

}  // namespace

TEST_SUITE("cli/serve_estimate") {
  TEST_CASE("a form, the report of a model, errors in the page, and nothing for other hosts") {
    Server server;
    const auto has = [](const std::string& answer, std::string_view part) { return answer.find(part) != std::string::npos; };
    const std::string form = server.ask("/");
    CHECK(form.starts_with("HTTP/1.1 200"));
    CHECK(has(form, "name=\"model\""));
    CHECK_FALSE(has(form, "id=\"data\""));
    const std::string report = server.ask("/?model=gpt2&device=2xT4");
    CHECK(report.starts_with("HTTP/1.1 200"));
    CHECK(has(report, "GPT2LMHeadModel"));
    CHECK(has(report, "id=\"data\""));
    CHECK(has(report, "value=\"2xT4\""));
    const std::string unknown = server.ask("/?model=%3Cscript%3E");
    CHECK(unknown.starts_with("HTTP/1.1 4"));
    CHECK(has(unknown, "role=\"alert\""));
    CHECK_FALSE(has(unknown, "value=\"<script>"));
    CHECK(server.ask("/?model=gpt2&device=RTX+4091").find("RTX 4090") != std::string::npos);
    CHECK(server.ask("/?model=-").starts_with("HTTP/1.1 400"));
    CHECK(server.ask("/?model=--help").starts_with("HTTP/1.1 400"));
    CHECK(server.ask("/?model=gpt2", "evil.example:80").starts_with("HTTP/1.1 403"));
    CHECK(server.ask("/etc/passwd").starts_with("HTTP/1.1 404"));
    CHECK(server.stop(SIGINT) == SIGINT);
  }

  TEST_CASE("a port that is no port is refused") { CHECK(run_binary({"serve-estimate", "--port", "70000"}).exit_code == 2); }
}

}  // namespace bigmodel::test
