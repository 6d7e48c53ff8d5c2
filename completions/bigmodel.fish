# Made by `bigmodel generate` from the option table; do not edit.
complete -c bigmodel -f
complete -c bigmodel -s h -l help -d 'print this help'
complete -c bigmodel -s V -l version -d 'print the version; with --verbose also what this build can do'
complete -c bigmodel -s q -l quiet -d 'print only the essential value, and no notes, warnings or progress'
complete -c bigmodel -s v -l verbose -d 'print more about what was read and decided'
complete -c bigmodel -s j -l json -d 'print JSON; the same as --format json'
complete -c bigmodel -l color -d 'colour the output' -x -a 'auto always never'
complete -c bigmodel -l config -d 'read settings from FILE instead of ~/.config/bigmodel/config.toml' -r -F
complete -c bigmodel -l no-config -d 'read no config file'
complete -c bigmodel -n __fish_use_subcommand -a estimate-memory -d 'how much memory a model needs'
complete -c bigmodel -n __fish_use_subcommand -a shard -d 'cut a checkpoint into shards, merge it, or convert it'
complete -c bigmodel -n __fish_use_subcommand -a verify -d 'check a checkpoint: its files, its index, its tensors'
complete -c bigmodel -n __fish_use_subcommand -a edit -d 'change a checkpoint\'s vocabulary size, take out attention heads'
complete -c bigmodel -n __fish_use_subcommand -a infer-device-map -d 'where each layer of a model goes'
complete -c bigmodel -n __fish_use_subcommand -a init -d 'write a checkpoint of random weights'
complete -c bigmodel -n __fish_use_subcommand -a inspect -d 'show a model\'s tensors, module tree, one name\'s origin, or what weight files hold'
complete -c bigmodel -n __fish_use_subcommand -a run -d 'run a model from its own files, on GPUs, in RAM or streamed from disk'
complete -c bigmodel -n __fish_use_subcommand -a tokenize -d 'turn text into token ids and back'
complete -c bigmodel -n __fish_use_subcommand -a download -d 'fetch a repository of the Hub into the cache'
complete -c bigmodel -n __fish_use_subcommand -a push -d 'publish a folder on the Hub'
complete -c bigmodel -n __fish_use_subcommand -a serve-estimate -d 'the memory report as a page on this machine'
complete -c bigmodel -n __fish_use_subcommand -a doctor -d 'show what this build and machine can do, and what is off'
complete -c bigmodel -n __fish_use_subcommand -a help -d 'explain a command or a topic'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -s d -l dtypes -d 'the rows and their order' -x -a '(bigmodel __complete dtypes 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l exact -d 'read the checkpoint\'s own safetensors headers, from the Hub by byte ranges: no weights are downloaded'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l strict -d 'exit with 1 where the estimate is incomplete'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l report -d 'also write the running part as one HTML page, with sliders for context, batch and dtype' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l post-discussion -d 'show the Markdown table as a discussion of the model\'s repository on the Hub; with --yes, post it'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l yes -d 'with --post-discussion: send it'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -s f -l format -d 'how the result is printed' -x -a 'table json jsonl csv markdown accelerate'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l context -d 'also what running takes, with this many tokens a sequence' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l batch -d 'sequences at once' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l beams -d 'beams of each sequence' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l kv-dtype -d 'how keys and values are kept' -x -a 'float32 float16 bfloat16 q8_0 fp8 int8 q5_1 q5_0 q4_1 q4_0 iq4_nl nvfp4'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l engine -d 'whose cache and overheads' -x -a 'exact hf hf-static vllm llama.cpp bigmodel'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l attention -d 'whether scores are kept whole' -x -a 'flash eager'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l prefill-chunk -d 'tokens of the prompts computed at once' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l device -d 'does it fit: 24GiB, "RTX 4090", 2xH100-80GB' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l split -d 'how several devices share the model' -x -a 'layers tensor'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l machine -d 'does it fit into this machine\'s memory'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l fits -d 'exit with 1 where a row does not fit the device'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l solve -d 'the most that the device allows' -x -a 'context batch dtype devices'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l train -d 'also what training takes on each device' -x -a 'full lora qlora'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l optimizer -d 'whose states are kept' -x -a 'adamw adamw-8bit paged-adamw-8bit adafactor lion lion-8bit muon rmsprop sgd-momentum sgd'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l sharding -d 'zero1, zero2, zero3 or fsdp (zero3=8), tp=N, pp=N, also together' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l offload -d 'what waits in host memory' -x -a 'none optimizer all'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l recompute -d 'activations computed again on the way back' -x -a 'none selective full'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l master-weights -d 'float32 masters and moments beside 16-bit weights (mixed precision)'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l compiled -d 'norms and activations are fused (torch.compile) and keep their inputs alone'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l chunked-loss -d 'logits an eighth at a time'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l offload-activations -d 'what is kept for the way back waits in host memory'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l optimizer-in-backward -d 'gradients are used and freed one by one'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l lora-rank -d 'rank of the adapters' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l lora-targets -d 'which linear layers get adapters: names, or all-linear' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l lora-dtype -d 'of the adapters' -x -a 'float32 weights'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l sequence -d 'tokens of each training sequence' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l micro-batch -d 'sequences a device computes at once' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -s c -l class -d 'which class of the model is meant' -x -a 'base auto'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l library-name -d 'the library that defines the model' -x -a 'auto transformers timm'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l arch-dir -d 'read architecture descriptions (*.arch) of FOLDER too' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l subfolder -d 'where in the repository or folder the model\'s config.json is' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l trust-remote-code -d 'accepted for accelerate\'s sake: bigmodel never runs a model\'s code'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from estimate-memory' -F -a '(bigmodel __complete models 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -s s -l max-shard-size -d 'the most bytes of tensors in one file' -x
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -s o -l output -d 'where to write' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l in-place -d 'replace the checkpoint in its own folder, once the new files are written and read back'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -s f -l format -d 'the container to write; keep leaves safetensors and .bin what they are' -x -a 'keep safetensors bin'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l merge -d 'write one file, whatever its size'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -s d -l dtype -d 'convert floating-point tensors, rounding as PyTorch does' -x -a '(bigmodel __complete dtypes 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l policy -d 'how the cut is found' -x -a 'hf balanced'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l compat -d 'write files byte for byte as that library does' -x -a 'hf'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l force -d 'replace the weights that are in the output folder'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l resume -d 'go on where an interrupted run of the same job stopped'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l read-back -d 'compare what the disk holds with what was written (always done in place)'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -s n -l dry-run -d 'print the plan and write nothing'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l plan-from -d 'plan for the tensors that FILE lists, and print the plan as JSON' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l variant -d 'take the weight files of a variant: fp16 is model.fp16.safetensors' -x
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l under -d 'of a nested PyTorch file: take the tensors below KEY, such as state_dict, model or module' -x
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l subfolder -d 'where in the repository or folder the checkpoint is' -x
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from shard' -F
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l deep -d 'read every tensor: count NaN and infinite values, print a sha256 of each'
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l against -d 'compare with another checkpoint, tensor by tensor, whatever the formats and the cuts' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l class -d 'the class whose tensors are expected: base, auto (what the config names), or a class by name' -x
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l arch-dir -d 'read architecture descriptions (*.arch) of FOLDER too' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l variant -d 'take the weight files of a variant: fp16 is model.fp16.safetensors' -x
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l under -d 'of a nested PyTorch file: take the tensors below KEY, such as state_dict, model or module' -x
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l subfolder -d 'where in the repository or folder the checkpoint is' -x
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from verify' -F
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l resize-vocab -d 'tokens afterwards' -x
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l pad-to-multiple-of -d 'round N up to a multiple of M' -x
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l mean-resizing -d 'new tokens start as the mean of the old ones; the default'
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l no-mean-resizing -d 'new tokens start as zeros'
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l prune-heads -d 'heads to take out, such as "0:1,3;5:0": heads 1 and 3 of layer 0, head 0 of layer 5' -x
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -s o -l output -d 'where to write' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -s s -l max-shard-size -d 'the most bytes of tensors in one file' -x
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l force -d 'replace the weights that are in the output folder'
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l resume -d 'keep the files that an interrupted run of the same call finished'
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l arch-dir -d 'read architecture descriptions (*.arch) of FOLDER too' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l variant -d 'take the weight files of a variant: fp16 is model.fp16.safetensors' -x
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l under -d 'of a nested PyTorch file: take the tensors below KEY, such as state_dict, model or module' -x
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l subfolder -d 'where in the repository or folder the checkpoint is' -x
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from edit' -F
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -s m -l max-memory -d 'what each device may take: 0=10GiB,1=10GiB,cpu=30GiB' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -s p -l policy -d 'how layers are spread' -x -a 'auto balanced balanced_low_0 sequential accelerate optimal'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l dtype -d 'what the model is cast to; without it the config\'s own dtype, else float32' -x -a '(bigmodel __complete dtypes 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l special-dtypes -d 'dtypes of single tensors: lm_head.weight=float32' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l no-split-module-classes -d 'classes whose modules stay on one device; none splits everything' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l offload-buffers -d 'buffers of modules on cpu and disk lie there too, and no warning is due'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l fallback-allocation -d 'an empty device takes a later, smaller module where the next one does not fit'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l no-clean-result -d 'keep every entry, even where all parts of a module lie on one device'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l device-map -d 'check this map instead of making one: a JSON file or the JSON itself' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l graph -d 'plan a module tree in JSON instead of a MODEL, so that any PyTorch model works' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l request -d 'answer whole calls as JSON; a .jsonl file (or - with lines) line by line, in one process' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l explain -d 'tell why a module lies where it does' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l context -d 'with --policy optimal: room for the KV cache of so many tokens' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l batch -d 'sequences at once' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l kv-dtype -d 'how the KV cache is stored: float16, bfloat16, float32, fp8, q8_0, q4_0, ...; without it as the model' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l bandwidth -d 'bytes a second of each tier: 0=3.3TB/s,cpu=200GB/s,disk=3GB/s' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -s f -l format -d 'how the result is printed' -x -a 'table json jsonl python'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -s c -l class -d 'which class of the model is meant' -x -a 'auto base'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l library-name -d 'the library that defines the model' -x -a 'auto transformers timm'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l arch-dir -d 'read architecture descriptions (*.arch) of FOLDER too' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l subfolder -d 'where in the repository or folder the model\'s config.json is' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l trust-remote-code -d 'accepted for accelerate\'s sake: bigmodel never runs a model\'s code'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from infer-device-map' -F -a '(bigmodel __complete models 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -s o -l output -d 'where to write' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from init' -s d -l dtype -d 'of the floating-point tensors; without it the config\'s own, else float32' -x -a '(bigmodel __complete dtypes 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l seed -d 'another number gives other weights, the same one the same' -x
complete -c bigmodel -n '__fish_seen_subcommand_from init' -s s -l max-shard-size -d 'the most bytes of tensors in one file' -x
complete -c bigmodel -n '__fish_seen_subcommand_from init' -s f -l format -d 'the container to write' -x -a 'safetensors bin'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l buffers -d 'write these buffers too, though the class does not save them' -x
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l force -d 'replace the weights that are in the output folder'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l resume -d 'go on where an interrupted run of the same job stopped'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -s n -l dry-run -d 'print the plan and write nothing'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -s c -l class -d 'which class of the model is meant' -x -a 'base auto'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l library-name -d 'the library that defines the model' -x -a 'auto transformers timm'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l arch-dir -d 'read architecture descriptions (*.arch) of FOLDER too' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l subfolder -d 'where in the repository or folder the model\'s config.json is' -x
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l trust-remote-code -d 'accepted for accelerate\'s sake: bigmodel never runs a model\'s code'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from init' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from init' -F -a '(bigmodel __complete models 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l tensors -d 'list every parameter and buffer with dtype and shape'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l tree -d 'print the module tree with sizes, repeated layers folded'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l why -d 'explain a parameter, buffer or module: the description\'s lines and the config\'s keys that made it' -x
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l summary -d 'print totals, classes that are not split, tied parameters and the file\'s tensors'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l depth -d 'of --tree: print N levels below the root' -x
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l dtype -d 'the dtype that the model is loaded in; without it the config\'s own, else float32' -x -a '(bigmodel __complete dtypes 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l exact -d 'read the checkpoint\'s own safetensors headers, from the Hub by byte ranges: no weights are downloaded'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -s f -l format -d 'how the result is printed' -x -a 'table json jsonl csv markdown'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l checkpoint -d 'show the weight files, not the model that the config.json beside them describes'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l digest -d 'of a checkpoint: read every tensor and add a sha256 of its contiguous bytes'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l stats -d 'of a checkpoint: read every tensor and add smallest, largest, mean and spread of its values, NaN and infinite ones counted'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l variant -d 'take the weight files of a variant: fp16 is model.fp16.safetensors' -x
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l under -d 'of a nested PyTorch file: take the tensors below KEY, such as state_dict, model or module' -x
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -s c -l class -d 'which class of the model is meant' -x -a 'base auto'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l library-name -d 'the library that defines the model' -x -a 'auto transformers timm'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l arch-dir -d 'read architecture descriptions (*.arch) of FOLDER too' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l subfolder -d 'where in the repository or folder the model\'s config.json is' -x
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l trust-remote-code -d 'accepted for accelerate\'s sake: bigmodel never runs a model\'s code'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from inspect' -F -a '(bigmodel __complete models 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -s p -l prompt -d 'the prompt; - reads standard input' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -s f -l prompt-file -d 'the prompt from a text file' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l batch -d 'prompts, one a line, run side by side; each answer is a line of JSON text' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l batch-size -d 'prompts of --batch that are run at once' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l image -d 'a picture (PNG, JPEG) that a text prompt is about, for models of text and images; for several by repetition' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l chat -d 'talk to the model through its chat template'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l system -d 'with --chat: the system message before the conversation' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l pair -d 'of encoders: the second text, such as the one that a question is about' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l ids -d 'the prompt as token ids, such as 1,15,7' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l ids-file -d 'prompts as token ids from a JSON file' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l input -d 'named input tensors from a safetensors file, a picture (PNG, JPEG) or sound (WAV)' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l greedy -d 'take the likeliest token in each step, whatever generation_config.json says'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l temperature -d 'draw tokens, with scores divided by T; 0 draws none' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l top-k -d 'draw from the N likeliest tokens' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l top-p -d 'draw from the likeliest tokens that add up to P' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l min-p -d 'draw from tokens at least P times as likely as the likeliest' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l typical-p -d 'draw from the most typical tokens (nearest to the expected surprise) that add up to P' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l no-repeat-ngram-size -d 'let no N tokens in a row come a second time; 0 lets all' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l repetition-penalty -d 'make tokens that were there less likely (R > 1)' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l num-beams -d 'follow the N likeliest continuations side by side (beam search)' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l num-return-sequences -d 'continuations of each prompt, drawn or of beams' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l length-penalty -d 'of beams: above 0 prefers long, below 0 short continuations' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l seed -d 'of the draws, where tokens are drawn' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l max-new-tokens -d 'stop after N new tokens; 0 runs the prompt only' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l min-new-tokens -d 'do not end before N new tokens' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l max-time -d 'stop after the token in work at that time' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l stop -d 'end where TEXT has come out; for several by repetition, or a JSON list such as ["\\n\\n", "User:"]' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l bad-words -d 'never let TEXT come out, at the beginning of a text or behind a blank; for several by repetition' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l generation-config -d 'keys that go before generation_config.json\'s: a file, or JSON such as {"no_repeat_ngram_size": 2}' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l logprobs -d 'give the log probability of every new token, under the model\'s own softmax (JSON)'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l logits -d 'write the prompt\'s logits [batch, length, vocabulary] in float32 to a safetensors file' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l format -d 'how the result is printed: jsonl gives a line for the start, for each token at once, and for the end' -x -a 'text json jsonl'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l plan -d 'show what would lie where, which tier binds and the predicted speed, and stop there'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l bandwidth -d 'what RAM and disk deliver, for the prediction, such as cpu=34GB/s,disk=2GB/s' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l context -d 'tokens of a sequence, prompt and new ones, that there must be room for' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l dtype -d 'what the weights are run in: float32, bfloat16 or float16; without it as they are stored' -x -a '(bigmodel __complete dtypes 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l kv-dtype -d 'how keys and values of earlier tokens are kept in RAM: float32, bfloat16 or float16' -x -a '(bigmodel __complete dtypes 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l quantize -d 'hold the weights of the layers\' matrices in 8 or 4 bits, quantised while they are loaded: smaller and faster, not exact' -x -a 'int8 int4'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l storage-dtype -d 'what weights of linear and convolution layers are kept in between uses: float8_e4m3fn, float8_e5m2, bfloat16 or float16' -x -a '(bigmodel __complete dtypes 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l skip-modules-pattern -d 'with --storage-dtype: modules whose name the expression is found in are left alone, and all below them' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l skip-modules-classes -d 'with --storage-dtype: the same by class name' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l threads -d 'threads that compute; without it as many as this process may use' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l device-map -d 'where weights lie: auto, cpu, disk, cuda:0, JSON such as {"model.layers.0": 0, "": "cpu"}, or a file of it' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l max-memory -d 'with --device-map auto: how much of each device may be taken, such as 0=20GiB,cpu=8GiB' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l offload-folder -d 'accepted for accelerate\'s sake: weights of "disk" are read from the model\'s own files, and nothing is written' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l check -d 'read all weights first, and refuse NaN and infinite ones by name'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l init-missing -d 'fill tensors that the checkpoint lacks as init does, drawn by --seed, instead of refusing it'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -s c -l class -d 'which class of the model is meant' -x -a 'auto base'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l library-name -d 'the library that defines the model' -x -a 'auto transformers timm'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l arch-dir -d 'read architecture descriptions (*.arch) of FOLDER too' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l subfolder -d 'where in the repository or folder the model\'s config.json is' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l trust-remote-code -d 'accepted for accelerate\'s sake: bigmodel never runs a model\'s code'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from run' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from run' -F -a '(bigmodel __complete models 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -l ids -d 'print token ids only, in the form that run --ids takes'
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -l decode -d 'the other way round: token ids in, text out'
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -l chat -d 'print the prompt that the chat template makes of a JSON file: messages, or an object with them' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -l no-special-tokens -d 'leave out what the tokenizer adds, such as <s>'
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -l keep-special-tokens -d 'show special tokens in decoded text'
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -l jsonl -d 'JSON in, JSON out, line by line'
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from tokenize' -F -a '(bigmodel __complete models 2>/dev/null)'
complete -c bigmodel -n '__fish_seen_subcommand_from download' -l include -d 'only files that match, such as \'*.safetensors\'' -x
complete -c bigmodel -n '__fish_seen_subcommand_from download' -l exclude -d 'no files that match' -x
complete -c bigmodel -n '__fish_seen_subcommand_from download' -l subfolder -d 'only what lies in this folder of the repository' -x
complete -c bigmodel -n '__fish_seen_subcommand_from download' -l connections -d 'at most so many requests at a time' -x
complete -c bigmodel -n '__fish_seen_subcommand_from download' -s n -l dry-run -d 'list what would be fetched, and fetch nothing'
complete -c bigmodel -n '__fish_seen_subcommand_from download' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from download' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from download' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from push' -s m -l message -d 'the commit\'s first line' -x
complete -c bigmodel -n '__fish_seen_subcommand_from push' -l include -d 'only files that match, such as \'*.safetensors\'' -x
complete -c bigmodel -n '__fish_seen_subcommand_from push' -l exclude -d 'no files that match' -x
complete -c bigmodel -n '__fish_seen_subcommand_from push' -l private -d 'where the repository is created, make it private'
complete -c bigmodel -n '__fish_seen_subcommand_from push' -l create-pr -d 'commit to a new pull request instead of the branch'
complete -c bigmodel -n '__fish_seen_subcommand_from push' -l connections -d 'at most so many uploads at a time' -x
complete -c bigmodel -n '__fish_seen_subcommand_from push' -s n -l dry-run -d 'list what would be sent and how, and change nothing'
complete -c bigmodel -n '__fish_seen_subcommand_from push' -l revision -d 'the branch, tag or commit of a Hub repository; the same as NAME@REVISION' -x
complete -c bigmodel -n '__fish_seen_subcommand_from push' -l offline -d 'use what is here and ask no server'
complete -c bigmodel -n '__fish_seen_subcommand_from push' -l token-file -d 'read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from push' -F
complete -c bigmodel -n '__fish_seen_subcommand_from serve-estimate' -l port -d 'where to listen; 0 takes a free one' -x
complete -c bigmodel -n '__fish_seen_subcommand_from doctor' -l probe -d 'measure how fast RAM, disk and GPUs are read, in the form that --bandwidth takes'
complete -c bigmodel -n '__fish_seen_subcommand_from doctor' -l types -d 'list every model type instead: whether it is described, its classes, and whether the engine runs them'
complete -c bigmodel -n '__fish_seen_subcommand_from doctor' -l arch-dir -d 'read architecture descriptions (*.arch) of FOLDER too' -r -F
complete -c bigmodel -n '__fish_seen_subcommand_from doctor' -s f -l format -d 'how the result is printed' -x -a 'table json'
complete -c bigmodel -n '__fish_seen_subcommand_from help' -a 'estimate-memory shard verify edit infer-device-map init inspect run tokenize download push serve-estimate doctor help exit-codes environment config sizes'
