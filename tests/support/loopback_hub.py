#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Hub on loopback for tests, with a second port as its content network. It behaves as the Hub does, and misbehaves on
demand: repositories named fault/* fail in the way that their name says. Standard library only.

Prints one JSON line {"hub": port, "cdn": port} once it serves. Each request is a JSON line of --log.
GET /__stop on the hub's port ends it; so does the end of standard input.
"""
import argparse
import hashlib
import http.server
import json
import ssl
import sys
import threading
import time
import urllib.parse

COMMIT = "c" * 40
PR_COMMIT = "d" * 40


def bytes_of(seed, size):
    out = bytearray()
    i = 0
    while len(out) < size:
        out += hashlib.sha256(f"{seed}{i}".encode()).digest()
        i += 1
    return bytes(out[:size])


CONFIG = b'{"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 28996}\n'
SMALL = {"config.json": CONFIG, "README.md": b"# a model\n", "onnx/config.json": CONFIG, "empty.txt": b"",
         "model.safetensors": bytes_of("model", 300_000), "a file+1.txt": b"blanks\n"}
BIG = {"config.json": CONFIG, "model.safetensors": bytes_of("big", 5_000_000)}
DRIP = {"model.safetensors": bytes_of("drip", 3_000)}


def safetensors(names, more=0):
    """Tensors of 2x3 float32, the header longer by so many bytes."""
    header = {"__metadata__": {"format": "pt", "padding": "x" * more}} if more else {}
    for i, name in enumerate(names):
        header[name] = {"dtype": "F32", "shape": [2, 3], "data_offsets": [24 * i, 24 * i + 24]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(24 * len(names))


MYSTERY = b'{"model_type": "mystery", "architectures": ["MysteryModel"]}\n'
SHARDS = {"config.json": MYSTERY, "sub/config.json": MYSTERY, "sub/model.safetensors": safetensors(["s.weight"]),
          "a.safetensors": safetensors(["x.weight", "y.weight"]), "b.safetensors": safetensors(["z.weight"], 150_000),
          "model.safetensors.index.json": json.dumps({"metadata": {"total_size": 72}, "weight_map": {
              "z.weight": "b.safetensors", "x.weight": "a.safetensors", "y.weight": "a.safetensors"}}).encode()}
WRONG = {**SHARDS, "b.safetensors": safetensors(["other"])}
LESS = {k: v for k, v in SHARDS.items() if k != "b.safetensors"}
HALF = {"config.json": MYSTERY, "model.safetensors": safetensors(["full"]), "model.fp16.safetensors": safetensors(["half"]), "pytorch_model.fp16.bin": b"x",
        "model.bf16-00001-of-00002.safetensors": safetensors(["x"]), "model.bf16-00002-of-00002.safetensors": safetensors(["y"]),
        "model.safetensors.index.bf16.json": json.dumps({"metadata": {"total_size": 48}, "weight_map": {
            "x": "model.bf16-00001-of-00002.safetensors", "y": "model.bf16-00002-of-00002.safetensors"}}).encode()}
TORCH = {"config.json": MYSTERY, "pytorch_model.bin": b"x"}
PIPELINE = {"model_index.json": json.dumps({"_class_name": "SomePipeline", "unet": ["diffusers", "UNet"], "text_encoder": ["transformers", "CLIPTextModel"],
                                            "scheduler": ["diffusers", "DDIM"], "vae": ["diffusers", "VAE"]}).encode(),
            "unet/diffusion_pytorch_model.safetensors": safetensors(["a", "b"]), "unet/diffusion_pytorch_model.fp16.safetensors": safetensors(["a"]),
            "text_encoder/model.safetensors": safetensors(["c"]), "scheduler/scheduler_config.json": b"{}"}
ADAPTER = {"adapter_config.json": b'{"peft_type": "LORA", "base_model_name_or_path": "gpt2"}', "adapter_model.safetensors": safetensors(["lora"])}
SENTENCES = {"config.json": CONFIG, "model.safetensors": safetensors(["x"]), "2_Dense/model.safetensors": safetensors(["y", "z"]),
             "modules.json": json.dumps([{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.Pooling"},
                                         {"path": "2_Dense", "type": "a.Dense"}]).encode()}


def gguf(architecture, padding):
    """One f32 vector of 2, its header longer by so many bytes."""
    def text(value):
        return len(value).to_bytes(8, "little") + value

    def number(value, size):
        return value.to_bytes(size, "little")

    out = b"GGUF" + number(3, 4) + number(1, 8) + number(2, 8) + text(b"general.architecture") + number(8, 4) + text(architecture)
    out += text(b"padding") + number(8, 4) + text(b"x" * padding)
    out += text(b"norm") + number(1, 4) + number(2, 8) + number(0, 4) + number(0, 8)
    return out + bytes(-len(out) % 32 + 8)


PARTS = {"parts/pipeline": PIPELINE, "parts/adapter": ADAPTER, "parts/sentences": SENTENCES, "parts/nothing": {"README.md": b"# nothing\n"},
         "parts/gguf": {"m-00001-of-00002.gguf": gguf(b"llama", 2_500_000), "m-00002-of-00002.gguf": gguf(b"llama", 10)},
         "parts/quants": {"q4.gguf": gguf(b"llama", 1), "q8.gguf": gguf(b"llama", 1)},
         "parts/cut": {"m.gguf": gguf(b"llama", 5_000)[:4_000]}}
REPOS = {**PARTS, "good/sharded": SHARDS, "bad/index": WRONG, "bad/shard": LESS, "good/torch": TORCH, "good/variants": HALF, "good/model": SMALL, "good/big": BIG, "good/renamed": SMALL, "gated/model": SMALL, "old-name": SMALL}
FAULTS = ["truncate-once", "drip", "no-ranges", "wrong-range", "wrong-bytes", "changed", "500-twice", "500", "429-once",
          "429-long", "slow", "stall-once", "stall-long-once", "redirect-loop", "no-commit", "no-etag", "evil-path", "gzip", "other-commit",
          "cut-and-no-ranges", "expired-once", "to-http", "long-json", "403", "teapot", "disabled", "bad-token"]
for fault in FAULTS:
    REPOS["fault/" + fault] = DRIP if fault == "drip" else SMALL
REVISIONS = {"main": COMMIT, "v1": COMMIT, "refs/pr/1": PR_COMMIT, COMMIT: COMMIT, PR_COMMIT: PR_COMMIT, COMMIT[:7]: COMMIT}

lock = threading.Lock()
counts = {}
uploads = {}
created = {}
settings = None


def is_lfs(name):
    return name.endswith(".safetensors") or name.endswith(".bin")


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def etag_of(name, data):
    return hashlib.sha256(data).hexdigest() if is_lfs(name) else git_sha1(data)


def count(key):
    with lock:
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def note(self, body=b""):
        with lock:
            row = {"server": self.server.role, "method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}
            if body:
                row["body"] = body[:20_000].decode("utf-8", "replace")
            with open(settings.log, "a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")

    def reply(self, status, headers=None, body=b"", length=None):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, value, status=200, headers=None):
        self.reply(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    def error(self, status, code, message="", headers=None):
        extra = {"X-Request-Id": "req-1", **(headers or {})}
        if code:
            extra["X-Error-Code"] = code
        if message:
            extra["X-Error-Message"] = message
        self.reply(status, extra, json.dumps({"error": message or code}).encode())

    def parse_request(self):
        """A request that comes through a proxy names the host; the log shows it so, the answer is that of the path."""
        if not super().parse_request():
            return False
        if self.path.startswith("http://"):
            self.note()
            self.path = "/" + self.path.split("/", 3)[3]
        return True

    def read_body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_HEAD(self):
        self.note()
        self.answer()

    def do_GET(self):
        self.note()
        self.answer()

    def do_POST(self):
        body = self.read_body()
        self.note(body)
        self.answer_post(body)

    def do_PUT(self):
        body = self.read_body()
        self.note(b"sha256 " + hashlib.sha256(body).hexdigest().encode())
        key = self.path.split("?")[0]
        if key.endswith("/fail-once") and count(key) == 1:
            self.error(500, "")
            return
        with lock:
            uploads[self.path] = body
        self.reply(200, {"ETag": '"' + hashlib.md5(body).hexdigest() + '"'})

    # --- what a repository answers

    def guard(self, repo, revision=None):
        """Sends an error and returns False, or returns True."""
        token = self.headers.get("Authorization")
        if repo == "fault/bad-token":
            self.error(401, "", "Invalid credentials in Authorization header")
        elif repo == "fault/disabled":
            self.error(403, "", "Access to this resource is disabled.")
        elif repo == "fault/403":
            self.error(403, "", "No write permission")
        elif repo == "fault/teapot":
            self.error(418, "", "short and stout\x1b[31m")
        elif repo == "fault/500" or (repo == "fault/500-twice" and count("500") <= 2):
            self.error(500, "", "Internal Error")
        elif repo == "fault/429-once" and count("429") == 1:
            self.error(429, "", "Too many", {"RateLimit": '"resolvers";r=0;t=2', "RateLimit-Policy": '"fixed window";"resolvers";q=5000;w=300'})
        elif repo == "fault/429-long":
            self.error(429, "", "Too many", {"Retry-After": "250"})
        elif repo == "gated/model" and token != "Bearer hf_good":
            self.error(403 if token else 401, "GatedRepo", "Access to model gated/model is restricted.")
        elif repo not in REPOS and repo not in created:
            self.error(401, "RepoNotFound", "Invalid username or password.")
        elif revision is not None and revision not in REVISIONS:
            self.error(404, "RevisionNotFound", "Invalid rev id: " + revision)
        else:
            return True
        return False

    def answer(self):
        if self.path == "/__stop":
            self.reply(200)
            threading.Thread(target=stop_all).start()
            return
        if self.server.role == "cdn":
            self.answer_bytes()
            return
        path, _, query = self.path.partition("?")
        if path.startswith("/api/models/"):
            self.answer_api([urllib.parse.unquote(p) for p in path[len("/api/models/"):].split("/")], query)
            return
        if path.startswith("/api/resolve-cache/"):
            repo, name = urllib.parse.parse_qs(query)["repo"][0], urllib.parse.parse_qs(query)["name"][0]
            self.answer_file(repo, COMMIT, name)
            return
        parts = path.lstrip("/").split("/")
        if "resolve" not in parts:
            self.error(404, "", "Not Found")
            return
        at = parts.index("resolve")
        repo = "/".join(parts[:at])
        revision = urllib.parse.unquote(parts[at + 1])
        name = urllib.parse.unquote("/".join(parts[at + 2:]))
        if repo == "fault/redirect-loop":
            self.reply(307, {"Location": self.path})
            return
        if repo == "fault/slow":
            time.sleep(30)
        if not self.guard(repo, revision):
            return
        if name not in REPOS.get(repo, {}):
            self.error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": REVISIONS[revision]})
            return
        if repo == "good/renamed":
            self.reply(307, {"Location": "/api/resolve-cache/models?repo=good/model&name=" + urllib.parse.quote(name)})
            return
        if repo == "old-name":
            self.reply(307, {"Location": "/good/model/resolve/%s/%s" % (parts[at + 1], "/".join(parts[at + 2:]))})
            return
        self.answer_file(repo, REVISIONS[revision], name)

    def answer_file(self, repo, commit, name):
        data = REPOS[repo][name]
        headers = {"X-Repo-Commit": commit, "ETag": '"' + etag_of(name, data) + '"', "X-HF-Warning": "topic; be kind"}
        if repo == "fault/no-commit":
            del headers["X-Repo-Commit"]
        if repo == "fault/no-etag":
            del headers["ETag"]
        if repo == "fault/evil-path":
            headers["ETag"] = '"../../../evil"'
        if is_lfs(name):
            port = self.server.other.server_address[1]
            scheme = "http" if repo == "fault/to-http" else settings.scheme
            headers.update({"X-Linked-Etag": '"' + etag_of(name, data) + '"', "X-Linked-Size": str(len(data)),
                            "Location": f"{scheme}://127.0.0.1:{port}/{repo}/{name}?Signature={count('signature')}"})
            headers["ETag"] = '"other"'
            self.reply(302, headers, b"Found")
            return
        if self.command == "HEAD":
            self.reply(200, headers, length=len(data))
        else:
            self.send_ranges(repo, data, headers)

    def answer_bytes(self):
        path = urllib.parse.unquote(self.path.split("?")[0]).lstrip("/")
        parts = path.split("/")
        repo, name = "/".join(parts[:2]), "/".join(parts[2:])
        data = REPOS.get(repo, {}).get(name)
        if data is None:
            self.error(404, "")
            return
        if repo == "fault/expired-once" and count("expired") == 1:
            self.reply(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
            return
        self.send_ranges(repo, data, {"ETag": '"cdn"'})

    def send_ranges(self, repo, data, headers):
        fault = repo.partition("fault/")[2]
        asked = self.headers.get("Range")
        first, last = 0, len(data) - 1
        if asked and fault not in ("no-ranges", "cut-and-no-ranges", "gzip") and data:
            begin, _, end = asked.partition("=")[2].partition("-")
            first, last = int(begin), min(int(end or last), last)
            if first >= len(data):
                self.reply(416, {"Content-Range": f"bytes */{len(data)}"})
                return
        body = data[first:last + 1]
        total = len(data)
        status = 200
        if fault == "wrong-bytes":
            body = bytes([body[0] ^ 1]) + body[1:]
        if asked and fault not in ("no-ranges", "cut-and-no-ranges", "gzip") and data:
            status = 206
            if fault == "changed" and count("changed") > 1:
                total += 1
            shown = first + 1 if fault == "wrong-range" else first
            headers = {**headers, "Content-Range": f"bytes {shown}-{last}/{total}"}
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        n = count("bytes " + repo)
        cut = None
        if fault in ("truncate-once", "stall-once", "stall-long-once", "cut-and-no-ranges") and n == 1:
            cut = len(body) // 2
        if fault == "drip":
            cut = 500
        if cut is not None and cut < len(body):
            self.wfile.write(body[:cut])
            self.wfile.flush()
            if fault.startswith("stall"):
                time.sleep(4 if fault == "stall-once" else 60)
            self.close_connection = True
            return
        self.wfile.write(body)

    def answer_api(self, parts, query):
        for marker in ("revision", "tree"):
            if marker in parts:
                at = parts.index(marker)
                break
        else:
            at = len(parts)
        repo = "/".join(parts[:at])
        revision = "/".join(parts[at + 1:]) or "main"
        if not self.guard(repo, revision):
            return
        if at < len(parts) and parts[at] == "tree":
            self.answer_tree(repo, query)
        elif repo == "fault/long-json":
            self.reply(200, {}, b"[" * 100_000)
        else:
            self.reply_json({"id": repo, "sha": "e" * 40 if repo == "fault/other-commit" else REVISIONS[revision]})

    def answer_tree(self, repo, query):
        items = [{"type": "directory", "path": "onnx", "oid": "0" * 40, "size": 0}]
        for name, data in sorted(REPOS.get(repo, {}).items()):
            item = {"type": "file", "path": name, "size": len(data), "oid": git_sha1(data)}
            if is_lfs(name):
                item["lfs"] = {"oid": etag_of(name, data), "size": len(data), "pointerSize": 130}
                item["oid"] = "1" * 40
            items.append(item)
        if repo == "fault/evil-path":
            items.append({"type": "file", "path": "../../evil", "size": 1, "oid": "2" * 40})
        half = len(items) // 2
        if "cursor" in query:
            self.reply_json(items[half:])
        else:
            path = self.path.split("?")[0]
            # the official host in the link, as behind a mirror: the client must come back to its endpoint
            self.reply_json(items[:half], headers={"Link": f'<https://huggingface.co{path}?recursive=true&cursor=x>; rel="next"'})

    # --- what a push asks

    def answer_post(self, body):
        path = self.path.split("?")[0]
        if self.headers.get("Authorization") != "Bearer hf_good" and self.server.role == "hub":
            self.error(401, "", "Invalid username or password.")
            return
        if path == "/api/repos/create":
            wanted = json.loads(body)
            repo = (wanted.get("organization") or "someone") + "/" + wanted["name"]
            if repo in REPOS or repo in created:
                self.reply_json({"error": "You already created this model repo", "url": repo}, 409)
                return
            created[repo] = wanted
            self.reply_json({"url": f"https://huggingface.co/{repo}"})
            return
        if path.endswith(".git/info/lfs/objects/batch"):
            self.answer_batch(json.loads(body), path.lstrip("/")[:-len(".git/info/lfs/objects/batch")])
            return
        parts = path[len("/api/models/"):].split("/")
        repo = "/".join(parts[:2])
        if repo not in REPOS and repo not in created:
            self.error(404, "RepoNotFound", "Repository not found")
            return
        if parts[2] == "preupload":
            files = json.loads(body)["files"]
            self.reply_json({"files": [{"path": f["path"], "uploadMode": "lfs" if is_lfs(f["path"]) else "regular",
                                        "shouldIgnore": f["path"].endswith(".ignored"),
                                        "oid": etag_of(f["path"], REPOS[repo][f["path"]]) if f["path"] in REPOS.get(repo, {}) else None} for f in files]})
        elif parts[2] == "discussions":
            wanted = json.loads(body)
            self.reply_json({"num": 7, "title": wanted["title"]})
        elif parts[2] == "commit":
            if repo == "fault/403":
                self.error(403, "", "No write permission")
                return
            answer = {"success": True, "commitOid": "f" * 40, "commitUrl": f"https://huggingface.co/{repo}/commit/" + "f" * 40}
            if "create_pr=1" in self.path:
                answer["pullRequestUrl"] = f"https://huggingface.co/{repo}/discussions/1"
            self.reply_json(answer)
        elif parts[2] == "verify":
            self.reply_json({})
        elif parts[2] == "complete":
            self.reply_json({})
        else:
            self.error(404, "", "Not Found")

    def answer_batch(self, batch, repo):
        cdn = f"{settings.scheme}://127.0.0.1:{self.server.other.server_address[1]}"
        hub = f"{settings.scheme}://127.0.0.1:{self.server.server_address[1]}"
        objects = []
        for item in batch["objects"]:
            out = {"oid": item["oid"], "size": item["size"]}
            if item["size"] > 1_000_000:  # as the Hub does for large files: parts with an address each
                part = 400_000
                parts = (item["size"] + part - 1) // part
                header = {"chunk_size": str(part)}
                for i in range(parts):
                    header[f"{i + 1:05d}"] = f"{cdn}/upload/{item['oid']}/{i + 1}"
                out["actions"] = {"upload": {"href": f"{hub}/api/models/{repo}/complete", "header": header}}
            elif item["size"] != 7:  # seven bytes: the Hub has it already
                out["actions"] = {"upload": {"href": f"{cdn}/upload/{item['oid']}/fail-once", "header": {"x-signed": "yes"}},
                                  "verify": {"href": f"{hub}/api/models/{repo}/verify"}}
            objects.append(out)
        self.reply_json({"transfer": "multipart", "objects": objects})


def stop_all():
    for server in servers:
        server.shutdown()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    role = ""
    other = None

    def handle_error(self, request, client_address):
        pass  # clients that hang up are part of the tests


parser = argparse.ArgumentParser()
parser.add_argument("--log", required=True)
parser.add_argument("--certificate")
parser.add_argument("--key")
settings = parser.parse_args()
settings.scheme = "https" if settings.certificate else "http"
servers = [Server(("127.0.0.1", 0), Handler), Server(("127.0.0.1", 0), Handler)]
servers[0].role, servers[1].role = "hub", "cdn"
servers[0].other, servers[1].other = servers[1], servers[0]
if settings.certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.certificate, settings.key)
    for server in servers:
        server.socket = context.wrap_socket(server.socket, server_side=True)
threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
for thread in threads:
    thread.start()
print(json.dumps({"hub": servers[0].server_address[1], "cdn": servers[1].server_address[1]}), flush=True)


def wait_for_parent():
    sys.stdin.read()
    stop_all()


threading.Thread(target=wait_for_parent, daemon=True).start()
for thread in threads:
    thread.join()
