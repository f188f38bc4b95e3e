"""Makes chat_templates.json: templates of our own with the constructs that checkpoints use, and what Jinja makes of them.

    python chat_templates.py > chat_templates.json

Needs jinja2; the environment is set up as tokenizers do it: sandboxed, blocks trimmed, loop controls.
"""

import json

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATES = [
    # Roles as names, a loop, the turn of the model.
    "{{ bos_token }}{% for message in messages %}<{{ message['role'] }}>{{ message.content | trim }}</{{ message.role }}>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}",
    # Blocks on lines of their own, in the middle of a line and with dashes.
    """{%- if messages[0]['role'] == 'system' -%}
    {%- set system = messages[0]['content'] -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set system = 'None given.' -%}
    {%- set rest = messages -%}
{%- endif %}
{{ '[' ~ system ~ ']' }}
{% for message in rest %}
    {% if message.role == 'user' and not loop.first %}
again:
    {% endif %}
    {{- loop.index0 }}/{{ loop.length }} {{ message.content }}{{ '' if loop.last else ',' }}
{% endfor %}
{% if add_generation_prompt %}
assistant
<think>
{% endif %}
""",
    # Counters that outlive a loop, methods of strings, thoughts cut away.
    """{% set ns = namespace(count=0, last='') %}
{%- for message in messages %}
{%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
{%- if message.role == 'assistant' %}{% set ns.count = ns.count + 1 %}{% set ns.last = content %}{% endif %}
{%- if content.startswith('skip') %}{% continue %}{% endif %}
{{ message.role.upper() }}: {{ content.replace('a', 'A') }}
{%- endfor %}

{{ ns.count }} answers, the last {{ ns.last | default('none', true) }}{{ eos_token if ns.count > 1 }}""",
    # Macros, tests, filters, JSON.
    """{%- macro block(name, text) %}<|{{ name }}|>
{{ text }}<|end|>
{% endmacro -%}
{%- for message in messages if message.content is string %}{{ block(message.role, message.content) }}{% endfor -%}
{%- if tools is defined and tools %}tools{% else %}{{ messages | length }} {{ messages[0] | tojson }} {{ messages | map(attribute='role') | join('+') }}{% endif %}
{%- if date_string is not defined %}{% set date_string = 'no date' %}{% endif %} {{ date_string }}
""",
]

CONVERSATIONS = [
    [("user", " What is é? ")],
    [("system", "Be brief."), ("user", "a banana"), ("assistant", "<think>\nhm</think>\n\nskip it"), ("user", "and \"now\" <b>?")],
    [("user", "one"), ("assistant", "x</think>two"), ("user", "three"), ("assistant", "four"), ("user", "skip")],
]


def fail(text):
    raise jinja2.exceptions.TemplateError(text)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
environment.globals["raise_exception"] = fail

cases = []
for template in TEMPLATES:
    for conversation in CONVERSATIONS:
        messages = [{"role": role, "content": content} for role, content in conversation]
        text = environment.from_string(template).render(messages=messages, add_generation_prompt=True, bos_token="", eos_token="</s>")
        cases.append({"template": template, "messages": messages, "text": text})
print(json.dumps({"made_with": {"jinja2": jinja2.__version__}, "cases": cases}, indent=1, ensure_ascii=False))
