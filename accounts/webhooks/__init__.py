"""Customers' webhooks, in the form of https://www.standardwebhooks.com.

events.py      what can be heard; `publish` writes a delivery for each endpoint that wants to hear it
endpoints.py   adding, rotating, switching off
delivery.py    what is due is claimed, sent and recorded; when to try again, when to give up
signing.py     the secret's form and the signature
sender.py      the only place that speaks HTTP to a customer's address
"""
