"""Renders the chat templates of this folder by the reference. usage: make_chat.py FOLDER"""
import datetime as dt, json, sys
import transformers.utils.chat_template_utils as ctu
from transformers import PreTrainedTokenizerFast
from tokenizers import Tokenizer, models
class Frozen(dt.datetime):
    @classmethod
    def now(cls, tz=None): return cls(2024, 2, 29, 23, 4, 5)
ctu.datetime = Frozen
T = {
"plain": "{% for m in messages %}<{{ m.role }}>{{ m['content'] | trim }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
"alternate": "{%- for m in messages -%}\n  {%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}\n    {{- raise_exception('turns must alternate, but turn ' ~ loop.index ~ ' is of ' ~ m.role) -}}\n  {%- endif -%}\n  [{{ loop.revindex }}] {{ m.content }}{{ ';' if not loop.last }}\n{%- endfor -%}",
"tools": "{% if tools is not none %}{% for t in tools | sort(attribute='function.name') %}{{ t | tojson(indent=2) }}\n{% endfor %}{% endif %}{% for m in messages %}{{ m.role }}:{% for c in m.tool_calls or [] %} {{ c.function.name }}({% for k, v in c.function.arguments | items %}{{ k }}={{ v }}{{ ', ' if not loop.last }}{% endfor %}){% else %} {{ m.content }}{% endfor %}\n{% endfor %}",
"documents": "{% for d in documents or [] %}{{ loop.index }}. {{ d.title | default('untitled', true) | upper }} ({{ d.text | length }})\n{% endfor %}{{ messages[-1].content }}",
"macros": "{% macro turn(role, text='nothing') %}{{ role | capitalize }}: {{ caller(text) if caller is defined else text }}{{ kwargs }}{{ varargs }}{% endmacro %}{% for m in messages %}{% call(t) turn(m.role, m.content, loop.index, last=loop.last) %}«{{ t }}»{% endcall %}\n{% endfor %}{{ turn('end') }}",
"namespace": "{% set ns = namespace(system='', n=0) %}{% for m in messages %}{% if m.role == 'system' %}{% set ns.system = ns.system ~ m.content %}{% else %}{% set ns.n = ns.n + 1 %}{% endif %}{% set n = ns.n %}{% endfor %}{{ ns.system }}|{{ ns.n }}|{{ n is defined }}",
"generation": "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}é{% endgeneration %}{% else %}{{ m.content }}{% endif %}|{% endfor %}",
"tree": "{% for n in [{'v': 'a', 'c': [{'v': 'b', 'c': [{'v': 'c'}]}, {'v': 'd'}]}] recursive %}{{ loop.depth }}{{ n.v }}{{ loop(n.c) if n.c }}{% endfor %}",
"filters": "{{ [3, 1, 2] | sort | join('-') }} {{ messages | map(attribute='role') | unique | list }} {{ messages | groupby('role') | map('first') | join(',') }} {{ messages | rejectattr('role', 'equalto', 'user') | list | length }} {{ range(7) | batch(3, 0) | list }} {{ '%05.2f|%-4s|%x' | format(3.14159, 'ab', 255) }} {{ {'b': 1, 'A': 2} | dictsort }} {{ 'the end' | title }} {{ 7.5 | round }} {{ [1, 2.5] | sum }}",
"python": "{{ 'a,b;c'.split(',') }} {{ 'ß'.upper() }} {{ 'ABC'[::-1].lower() }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 70 }} {{ 1e16 }} {{ 0.1 + 0.2 }} {{ [none, true, 'it\\'s', {'k': (1,)}] }} {{ 1 < 2 < 3 }} {{ '{:>6.1f}'.format(2.25) }} {{ 'x' * 3 ~ 1 }} {{ {1: 'i', 'l': [1]}.items() | list }}",
"clock": "{{ strftime_now('%A %d %B %Y, %I:%M %p, day %j, week %V') }}",
"spaces": "  {% if true %}\n kept\n  {%- if true -%}\n gone \n  {%- endif +%}\n  {% endif %}\n{# note #}\n{%+ set x = 1 %}\n|{{- ' both ' -}}\n|\n{% raw %}{{ raw }}{% endraw %}\n",
"blocks": "{% set who = 'top' %}{% block a %}{{ who }}{{ messages | length }}{% endblock %}{{ self.a() }}{% set t %}<{% filter upper %}in{% endfilter %}>{% endset %}{{ t }}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}",
"quirk": "{% for x in [1, 2] %}{% continue %}{% else %}else{% endfor %}{% for x in [1, 2, 3] if x != 2 %}{{ loop.index }}{{ x }}{{ loop.nextitem }};{% endfor %}",
"late": "{% for m in messages %}{{ m.content }}{% endfor %}\n{{ messages[0].nope.deeper }}",
"number": "a\n{{ 'n' + 1 }}",
"unknown": "{{ 1 }}\n{% if x is nonsense %}{% endif %}\n{{ 'a' | nonsense }}",
"unclosed": "{% for m in messages %}\n{% if m %}\n",
"sandbox": "{{ messages.__class__ }}{{ messages.append(1) }}",
"import": "{% include 'secret.txt' %}",
"private": "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
"nested_raise": "{% macro f(x) %}{{ raise_exception('no ' ~ x) }}{% endmacro %}\n\n{{ f(messages[0].role) }}",
"reasoning": "{% for m in messages %}{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }} {% endfor %}",
}
M = {
"one": [{"role": "user", "content": "Guten Tag!"}],
"two": [{"role": "user", "content": " Wie spät ist es?\n"}, {"role": "assistant", "content": "Kurz nach elf. 🕚 "}],
"system": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}, {"role": "user", "content": "\"And\" then\\?"}],
"call": [{"role": "user", "content": "Sum 2 and 3"}, {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 3.0, "exact": True}}}]}, {"role": "tool", "content": "5"}],
"thought": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "reasoning": "hm"}],
"parts": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}],
"none": [],
}
TOOLS = {"pair": [{"type": "function", "function": {"name": "mul", "description": "Multiplies. <b>", "parameters": {}}}, {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "required": ["a"]}}}]}
DOCS = {"two": [{"title": "Röst", "text": "coffee"}, {"text": ""}]}
NOW = "2024-02-29T23:04:05"
base = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
rows, tm = [], []
for name, text in T.items():
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    tok = PreTrainedTokenizerFast(tokenizer_object=base, chat_template=text, **special)
    tm.append({"name": name, "special_tokens": special, "template": text})
    for mn in M:
        vs = [dict()]
        if name == "plain": vs += [dict(agp=True), dict(cont=True), dict(kw={"eos_token": "<END>"})]
        if name in ("alternate", "generation") : vs += [dict(cont="content")]
        if name == "reasoning": vs += [dict(cont="reasoning_content")]
        if name == "tools": vs += [dict(tools="pair")]
        if name == "documents": vs += [dict(docs="two")]
        if name not in ("plain","alternate","tools","documents","macros","namespace","generation","filters","reasoning","late") and mn not in ("one", "none"): continue
        for v in vs:
            row = {"template": name, "messages": mn}
            if v.get("agp"): row["add_generation_prompt"] = True
            if v.get("tools"): row["tools"] = v["tools"]
            if v.get("docs"): row["documents"] = v["docs"]
            if v.get("kw"): row["kwargs"] = v["kw"]
            if v.get("cont"): row["continue_final_message"] = v["cont"]
            try:
                row["text"] = tok.apply_chat_template(M[mn], tools=TOOLS.get(v.get("tools")), documents=DOCS.get(v.get("docs")), add_generation_prompt=v.get("agp", False), continue_final_message=v.get("cont", False), tokenize=False, **v.get("kw", {}))
                if "generation %}" in text and not v.get("cont"):
                    _, g = ctu.render_jinja_template([[{k: x for k, x in m.items() if x is not None} for m in M[mn]]], chat_template=text, return_assistant_tokens_mask=True, **special)
                    row["generation"] = [list(x) for x in g[0]]
            except Exception as x:
                row["error"], row["class"] = str(x), type(x).__name__
                if getattr(x, "lineno", None): row["line"] = x.lineno
            rows.append(row)
D = sys.argv[1] + "/"
d = lambda x: json.dumps(x, ensure_ascii=False)
open(D + "templates.jsonl", "w").writelines(d(x) + "\n" for x in tm)
open(D + "cases.jsonl", "w").writelines(d(x) + "\n" for x in rows)
open(D + "inputs.json", "w").write(json.dumps({"now": NOW, "messages": M, "tools": TOOLS, "documents": DOCS}, ensure_ascii=False, indent=1) + "\n")
print(len(tm), len(rows))
