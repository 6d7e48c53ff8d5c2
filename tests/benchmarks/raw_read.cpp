// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/raw_read.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "benchmarks/measure.h"
#include "bigmodel/engine/read_memory.h"
#include "bigmodel/io/direct_reader.h"

namespace bigmodel::bench {

RawRead::RawRead(const std::filesystem::path& folder, Shape shape) : shape_(shape) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    for (std::uint64_t at = 0, size = entry.file_size(); at < size; at += shape.piece_bytes) {
      const std::uint64_t bytes = std::min(shape.piece_bytes, size - at);
      size_bytes_ += bytes;
      const std::uint64_t places = std::max<std::uint64_t>(shape.memory_bytes / shape.piece_bytes, 1);
      if (memory_.size() < places) memory_.push_back(read_memory(0, shape.piece_bytes, shape.made_before));
      pieces_.push_back({entry.path(), at, bytes, memory_[pieces_.size() % places].get()});
    }
  }
}

void RawRead::run() {
  const Disk disk;
  DirectReader reader(disk);
  const std::filesystem::path* open = nullptr;
  for (const Piece& piece : pieces_) {
    if (open == nullptr || *open != piece.path) reader.open(piece.path);
    open = &piece.path;
    reader.read(piece.at, {piece.memory, static_cast<std::size_t>(piece.size_bytes)});
  }
}

ChildWork in_child(const std::function<std::function<void()>()>& prepare) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::runtime_error("pipe");
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    int code = 1;
    try {
      const std::function<void()> work = prepare();
      rusage before{}, after{};
      ::getrusage(RUSAGE_SELF, &before);
      const auto start = std::chrono::steady_clock::now();
      work();
      ChildWork out{seconds_since(start), 0};
      ::getrusage(RUSAGE_SELF, &after);
      out.peak_bytes = static_cast<std::uint64_t>(after.ru_maxrss - before.ru_maxrss) * 1024;
      code = ::write(ends[1], &out, sizeof out) == static_cast<ssize_t>(sizeof out) ? 0 : 1;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    ::_exit(code);
  }
  ::close(ends[1]);
  ChildWork out;
  const bool whole = ::read(ends[0], &out, sizeof out) == static_cast<ssize_t>(sizeof out);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!whole || status != 0) throw std::runtime_error("a sample failed");
  return out;
}

}  // namespace bigmodel::bench
