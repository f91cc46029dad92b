"""Template filters and tags of every screen (a builtin library: no `load` is needed).

    {{ nano|money:"USD" }}  {{ cents|minor:"USD" }}  {{ nano|exact:"USD" }}  {{ 50000|number }}
    {{ moment|when }}  {{ date|day }}  {{ date|month }}  {% icon "key-round" %}
    {% unit_price amount "USD" "input_token" %}  {% route "local-mail" as mail %}

The functions and their rules are in formats.py (text), figures.py (drawings) and frame.py (the frame).
"""

from django import template

from gateway.templatetags import figures, formats, frame

register = template.Library()

for function in (
    formats.money,
    formats.minor,
    formats.list_price,
    formats.exact,
    formats.number,
    formats.signed_percent,
    formats.when,
    formats.day,
    formats.month,
    figures.chart_rows,
    frame.is_tick,
    frame.is_ticks,
):
    register.filter(function.__name__, function)

for tag in (
    formats.unit_price,
    figures.icon,
    figures.sparkline,
    figures.meter_shape,
    figures.chart_json,
    frame.widget,
):
    register.simple_tag(tag)
for asking in (frame.rail, frame.theme, frame.request_id, frame.sort_state):
    register.simple_tag(asking, takes_context=True)
register.simple_tag(frame.url_or_empty, name="route")
