// SPDX-License-Identifier: Apache-2.0
// The tensors of a model's files, each with a fill: what an untrained model of that class would be saved with.
#pragma once

#include <string>
#include <vector>

#include "bigmodel/checkpoint/random_tensors.h"
#include "bigmodel/model/config.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel::app {

struct InitOptions {
  DType dtype = DType::float32;
  double deviation = 0.02;            ///< of weights that are drawn
  std::vector<std::string> buffers;   ///< non-persistent buffers that are written too, by full name
};

/// In state-dict order: module by module, parameters before buffers, tied tensors once. Norms' weights and running variances are 1,
/// biases and running means 0, matrices and convolutions drawn; of whole numbers, positions count up and the rest is 0.
/// The graph must have been built with its disk rules. Throws NotFoundError for a buffer that is not there, with near names.
std::vector<RandomTensor> init_tensors(const MetaGraph& graph, const InitOptions& options);

/// The same fills for the tensors of memory: parameters and persistent buffers under their names there, tied ones under each of theirs.
std::vector<RandomTensor> initial_tensors(const MetaGraph& graph, const InitOptions& options);

/// The config's initializer_range; 0.02 where it has none between 0 and 1.
double init_deviation(const Config& config);

}  // namespace bigmodel::app
