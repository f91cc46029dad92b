"""The examples on a model's page: a shell, Python and Hugging Face's own client can read them."""

import ast
import inspect
import json
import shlex

import pytest
from django.test import Client
from huggingface_hub import InferenceClient

from gateway.models import CatalogModel
from gateway.seeding import seed_catalog
from gateway.task_snippets import _TASKS, snippets_for


def test_every_model_has_an_example_that_a_shell_and_python_read(db: None) -> None:
    seed_catalog()
    for model in CatalogModel.objects.all():
        snippets = {tab["label"]: tab["text"] for tab in snippets_for(model.model_id, model.tasks)}
        command, url, *options = shlex.split(snippets["curl"].replace("\\\n", " "))
        assert command == "curl"
        assert url.startswith("http://127.0.0.1:8000/")
        assert model.model_id in snippets["curl"]
        if "-d" in options:
            json.loads(options[options.index("-d") + 1])
        for label, text in snippets.items():
            if label.startswith("Python"):
                compile(text, label, "exec")
        page = Client().get(f"/models/{model.model_id}/")
        assert page.context["snippets"] == snippets_for(model.model_id, model.tasks)


@pytest.mark.parametrize("task", sorted({*_TASKS, "feature-extraction"}))
def test_the_hub_client_has_each_method_with_these_arguments(task: str) -> None:
    (text,) = (tab["text"] for tab in snippets_for("org/name", [task]) if "huggingface_hub" in tab["label"])
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    (call,) = (call for call in calls if ast.unparse(call.func) == f"client.{task.replace('-', '_')}")
    method = getattr(InferenceClient, task.replace("-", "_"))
    named = {word.arg or "": word.value for word in call.keywords}
    inspect.signature(method).bind(None, *call.args, **named)
