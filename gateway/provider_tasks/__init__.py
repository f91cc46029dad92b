"""Media tasks at providers that have their own payloads, polling and result files, asked for in Hugging Face's form.

    1 inputs.py    the customer's body becomes bytes or text, checked: no addresses, no file names
    2 payload.py   huggingface_hub's helper for (provider, task) makes the provider's request; no network, no token
    3 jobs.py      it is sent through our own client, and asked after until it is done
    4 results.py   the result is fetched, from the provider's own hosts only, and goes back in hf-inference's form

Which pairs of provider and task there are, and what is special about each: table.py.
"""

from gateway.provider_tasks.jobs import Job, JobFailed, Result, Send
from gateway.provider_tasks.results import Fetcher
from gateway.provider_tasks.table import providers_of, takes

__all__ = ["Fetcher", "Job", "JobFailed", "Result", "Send", "providers_of", "takes"]
