// SPDX-License-Identifier: Apache-2.0
// The runtime tree: one node per module of the meta graph, with its tensors, its block (what it computes) and its hook.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/core/tensor_view.h"
#include "bigmodel/engine/forward_state.h"
#include "bigmodel/engine/hooks/model_hook.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

class Module;

/// What a module computes. Bound to it by the roles of its description; reads the module's tensors anew in every call, since
/// hooks move them.
class BoundBlock {
 public:
  virtual ~BoundBlock() = default;
  virtual Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) = 0;
};

/// What becomes of a tensor in a pass.
enum class TensorUse {
  none,      ///< no block has asked for it
  read,      ///< a block reads it: it must be in the checkpoint
  replaced,  ///< a block computes what it would hold, or the description says that nothing reads it
};

/// A parameter or buffer of a module. `view.data` is null while its bytes are elsewhere (on disk, or never loaded).
struct ModuleTensor {
  const TensorTemplate* meta = nullptr;
  std::string full_name;   ///< dotted, from the root
  TensorView view;
  bool is_buffer = false;
  TensorUse use = TensorUse::none;
};

class Module {
 public:
  /// Empty tensors (on meta) of the template's shapes. `name` is the dotted path from the root, "" for it.
  Module(std::string name, std::shared_ptr<const ModuleTemplate> meta);
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const std::string& name() const noexcept { return name_; }
  const ModuleTemplate& meta() const noexcept { return *meta_; }

  /// The hook's pre_forward, forward, the hook's post_forward.
  Tensor operator()(Arguments arguments, ForwardState& state);
  Tensor operator()(const Tensor& input, ForwardState& state) { return (*this)(Arguments{input}, state); }

  const std::vector<std::unique_ptr<Module>>& children() const noexcept { return children_; }
  Module& add_child(std::unique_ptr<Module> child);
  /// A module below by its path ("self_attn.q_proj"), or null.
  Module* find(std::string_view path);

  std::vector<ModuleTensor>& tensors() noexcept { return tensors_; }
  ModuleTensor* find_tensor(std::string_view name);
  /// The same for a block that is going to read it.
  ModuleTensor* read_tensor(std::string_view name);

  /// Its block reads tensors of modules below without calling them: they must be there while it runs.
  bool reads_below = false;

  BoundBlock* block() const noexcept { return block_.get(); }
  void set_block(std::unique_ptr<BoundBlock> block) { block_ = std::move(block); }

  /// Replaces the hook there was (which is detached); with `append` it runs after it.
  void add_hook(std::unique_ptr<ModelHook> hook, bool append = false);
  void remove_hook();
  ModelHook* hook() const noexcept { return hook_.get(); }

  /// This module and everything below it, depth first, parents first.
  void for_each(const std::function<void(Module&)>& visit);

 protected:
  /// The block's, or UnsupportedError where nothing is bound.
  virtual Tensor forward(const Arguments& arguments, ForwardState& state);

 private:
  std::string name_;
  std::shared_ptr<const ModuleTemplate> meta_;
  std::vector<ModuleTensor> tensors_;
  std::vector<std::unique_ptr<Module>> children_;
  std::unique_ptr<BoundBlock> block_;
  std::unique_ptr<ModelHook> hook_;
};

/// The tree of a graph, all tensors on meta, no blocks. The templates are shared with the graph.
std::unique_ptr<Module> build_module_tree(const MetaGraph& graph);

}  // namespace bigmodel
