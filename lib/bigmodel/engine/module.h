// SPDX-License-Identifier: Apache-2.0
// The runtime tree: one node per module with its tensors, what it computes (a bound block, or a subclass's forward) and its hook.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bigmodel/engine/forward_state.h"
#include "bigmodel/engine/hooks/model_hook.h"
#include "bigmodel/engine/init_empty_weights.h"
#include "bigmodel/engine/stored_tensor.h"
#include "bigmodel/model/meta_graph.h"

namespace bigmodel {

class Module;
class WeightSlices;
struct ModuleTensor;

/// What a module computes. Bound to it by the roles of its description; reads the module's tensors anew in every call, since
/// hooks move them.
class BoundBlock {
 public:
  virtual ~BoundBlock() = default;
  virtual Tensor forward(Module& self, const Arguments& arguments, ForwardState& state) = 0;
  /// The module's own weights [..., out, in] that the block hands to ops::linear and reads in no other way: they may be quantised.
  virtual std::vector<ModuleTensor*> matrices(Module& self) const;
  /// Weights of modules below that must not be: a router's scores choose.
  virtual std::vector<ModuleTensor*> exact_matrices(Module& self) const;
  /// The module's own weights of which it can do with slices along the first axis, on the processor: where such a tensor has `slices`, the block brings
  /// those that it wants itself, and `view` has no elements.
  virtual std::vector<ModuleTensor*> sliced(Module& self) const;
  /// Whether it computes with tensors of an accelerator; else its module and what it reads stay in RAM.
  virtual bool runs_on_accelerators() const { return false; }
  /// Whether it reads no tensors but its arguments and what modules below give it: they may compute elsewhere than it does.
  virtual bool only_calls_modules() const { return false; }
  /// The attention's projections hold other numbers of heads from now on. Throws UnsupportedError for a block that has none.
  virtual void set_heads(std::int64_t heads, std::int64_t kv_heads);
};

/// What becomes of a tensor in a pass.
enum class TensorUse {
  none,      ///< no block has asked for it
  read,      ///< a block reads it: it must be in the checkpoint
  replaced,  ///< a block computes what it would hold, or the description says that nothing reads it
};

/// A parameter or buffer of a module. `view.data` is null while its bytes are elsewhere (on disk, or never loaded).
struct ModuleTensor : StoredTensor {
  const TensorTemplate* meta = nullptr;
  std::string full_name;   ///< dotted, from the root
  bool is_buffer = false;
  TensorUse use = TensorUse::none;
  /// The same for all names of one tied parameter, null for one of its own.
  std::shared_ptr<const char> tie;
  /// Not null: the elements are brought from disk in parts, by the block that reads them.
  std::shared_ptr<WeightSlices> slices;
  int readers = 0;         ///< blocks that asked for it

  /// Takes another tensor's place; a tie is broken.
  void set(StoredTensor tensor);
  bool is_same_parameter(const ModuleTensor& other) const noexcept { return tie != nullptr && tie == other.tie; }
};

/// May be subclassed: register tensors and children in the constructor and override forward. One thread at a time; not copied or moved.
class Module {
 public:
  /// A module of one's own, without tensors or children yet.
  explicit Module(std::string class_name);
  /// Empty tensors (on meta) of the template's shapes. `name` is the dotted path from the root, "" for it.
  Module(std::string name, std::shared_ptr<const ModuleTemplate> meta);
  virtual ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// Dotted path from the root, "" for it.
  const std::string& name() const noexcept { return name_; }
  const std::string& class_name() const noexcept { return meta_->class_name; }
  /// "Linear", "Conv1d", ... where the module is one of those, else empty.
  const std::string& layer_kind() const noexcept { return meta_->layer_kind; }
  const ModuleTemplate& meta() const noexcept { return *meta_; }

  /// The hook's pre_forward, forward, the hook's post_forward. Where one of them throws, the hook's abandon_forward brings offloaded
  /// weights back to where they sleep.
  Tensor operator()(Arguments arguments, ForwardState& state);
  Tensor operator()(const Tensor& input, ForwardState& state) { return (*this)(Arguments{input}, state); }
  Tensor operator()(const Tensor& input);

  const std::vector<std::unique_ptr<Module>>& children() const noexcept { return children_; }
  Module* parent() const noexcept { return parent_; }
  /// The child keeps the name that it was made with (a path from the root).
  Module& add_child(std::unique_ptr<Module> child);
  /// The child and all below it take names below this module's. Throws UsageError for a name that is empty, dotted or taken.
  Module& add_module(std::string_view name, std::unique_ptr<Module> child);
  template <typename M>
  M& add_module(std::string_view name, std::unique_ptr<M> child) {
    M& out = *child;
    add_module(name, std::unique_ptr<Module>(std::move(child)));
    return out;
  }
  /// A module below by its path ("self_attn.q_proj"; "" is itself), or null.
  Module* find(std::string_view path);
  /// Throws NotFoundError.
  Module& get_submodule(std::string_view path);

  /// Zeros at `home`, under a name of its own. Throws UsageError for a name that is empty, dotted or taken. References stay good.
  ModuleTensor& register_parameter(std::string_view name, Shape shape, const TensorHome& home = {}, DType dtype = DType::float32);
  ModuleTensor& register_buffer(std::string_view name, Shape shape, const TensorHome& home = {}, DType dtype = DType::float32, bool persistent = true);
  /// Own parameters, then own buffers, each in order of registration.
  std::list<ModuleTensor>& tensors() noexcept { return tensors_; }
  const std::list<ModuleTensor>& tensors() const noexcept { return tensors_; }
  ModuleTensor* find_tensor(std::string_view name);
  /// The same for a block that is going to read it.
  ModuleTensor* read_tensor(std::string_view name);

  /// Gives a tensor of this module other elements, also of another shape; names that are tied to it go with it. Not while the forward runs.
  void reshape(ModuleTensor& tensor, StoredTensor value);

  /// Its block reads tensors of modules below without calling them: they must be there while it runs.
  bool reads_below = false;

  BoundBlock* block() const noexcept { return block_.get(); }
  void set_block(std::unique_ptr<BoundBlock> block) { block_ = std::move(block); }
  /// What the module's role says, where its shape was changed: graph_of shows it, a block that is bound already does not see it.
  void set_role_property(std::string_view property, spec::Value value);
  /// Throws UsageError, naming what is done, while the module's forward runs.
  void check_idle(std::string_view action) const;

  /// Replaces the hook there was; with `append` both run, this one after it. Throws UsageError while the module's forward runs, and what its
  /// init_hook throws: the hook that there was is then still there.
  void add_hook(std::shared_ptr<ModelHook> hook, bool append = false);
  /// Throws UsageError while the module's forward runs.
  void remove_hook();
  ModelHook* hook() const noexcept { return hook_.get(); }

  /// Told of hooks, forwards and moves of this module and all below it. Null: nobody. Must outlive the module or be taken off.
  void set_observer(HookObserver* observer);
  HookObserver* observer() const noexcept { return observer_; }

  /// Moves every tensor at and below this module; tied ones once. Throws UsageError where one is on meta (nothing is moved then), or
  /// where dispatch_model spread the model. Messages: what the reference logs.
  void to(const Device& device, std::vector<std::string>* messages = nullptr);
  /// Casts floating-point tensors at and below this module, on whatever device they are. Throws UnsupportedError.
  void to(DType dtype);

  /// This module and everything below it, depth first, parents first.
  void for_each(const std::function<void(Module&)>& visit);
  void for_each(const std::function<void(const Module&)>& visit) const;
  Module& root();

  /// Set by dispatch_model on the root, taken away with its hook: the model may not be moved as a whole.
  bool is_dispatched() const noexcept { return dispatched_; }
  void set_dispatched(bool dispatched) noexcept { dispatched_ = dispatched; }

 protected:
  /// The block's, or UnsupportedError where nothing is bound.
  virtual Tensor forward(const Arguments& arguments, ForwardState& state);
  /// For subclasses that are a known kind of layer ("Linear", "Embedding").
  void set_layer_kind(std::string kind);

 private:
  class Running;
  ModuleTensor& register_tensor(std::string_view name, TensorTemplate made, const Device& device, bool is_buffer);
  void rename(std::string name);

  std::string name_;
  std::shared_ptr<const ModuleTemplate> meta_;
  std::vector<std::shared_ptr<const ModuleTemplate>> former_metas_;   ///< whose tensor templates are still in use
  std::list<TensorTemplate> own_templates_;   ///< of registered tensors and of those that got another shape
  std::list<ModuleTensor> tensors_;
  std::vector<std::unique_ptr<Module>> children_;
  Module* parent_ = nullptr;
  std::unique_ptr<BoundBlock> block_;
  std::shared_ptr<ModelHook> hook_;
  HookObserver* observer_ = nullptr;
  int running_ = 0;
  bool dispatched_ = false;
};

/// The tree of a graph, all tensors on meta, no blocks; names that the graph ties are one parameter. The templates are shared with the
/// graph. Where `make` gives a module for a template, it stands in the tree (its children are added).
using ModuleMaker = std::function<std::unique_ptr<Module>(const std::string& name, const std::shared_ptr<const ModuleTemplate>& meta)>;
std::unique_ptr<Module> build_module_tree(const MetaGraph& graph, const ModuleMaker& make = {});

/// The graph of a tree as it stands: classes, names, shapes, dtypes and ties, for planning.
MetaGraph graph_of(const Module& root);

/// The tensor of that name relative to `root`, or null.
ModuleTensor* find_tensor(Module& root, std::string_view full_name);

/// Gives a tensor another place and all names that are tied to it, as PyTorch does when it changes a parameter in place.
void replace_parameter(Module& root, ModuleTensor& tensor, const StoredTensor& by);

/// Makes the parameters one: all take the first one's place. Throws NotFoundError, UsageError where shapes differ.
void tie(Module& root, const std::vector<std::string>& names);

}  // namespace bigmodel
