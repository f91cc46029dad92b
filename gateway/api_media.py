"""The contracts of the calls beyond text: images, sound, and OpenAI's Responses form. See gateway/api.py."""

from typing import Any

from rest_framework import serializers

from gateway.api import CallContract, contract


class ResponsesSerializer(serializers.Serializer[Any]):
    """A turn in the Responses form."""

    model = serializers.CharField()
    input = serializers.JSONField(help_text="A text, or a list of messages.")
    stream = serializers.BooleanField(required=False)
    max_output_tokens = serializers.IntegerField(required=False, min_value=1)


class ImageSerializer(serializers.Serializer[Any]):
    """A picture to make."""

    model = serializers.CharField()
    prompt = serializers.CharField()
    n = serializers.IntegerField(required=False, min_value=1, max_value=8)


class SpeechSerializer(serializers.Serializer[Any]):
    """A text to speak."""

    model = serializers.CharField()
    input = serializers.CharField()
    voice = serializers.CharField(required=False)


class TranscriptionSerializer(serializers.Serializer[Any]):
    """A recording to write down, as multipart/form-data."""

    file = serializers.FileField()
    model = serializers.CharField()


class Responses(CallContract):
    """POST /v1/responses."""

    post = contract(
        "responses",
        ResponsesSerializer,
        "Answer in the Responses form",
        "Where the model's server has it. Usage is in the answer, or in the last event of a stream.",
    )


class Images(CallContract):
    """POST /v1/images/generations."""

    post = contract("images", ImageSerializer, "Make images", "Priced by the image, where the server has it.")


class Speech(CallContract):
    """POST /v1/audio/speech."""

    post = contract(
        "speech", SpeechSerializer, "Speak a text", "Answers with sound. Priced by the character."
    )


class Transcriptions(CallContract):
    """POST /v1/audio/transcriptions."""

    post = contract(
        "transcriptions",
        TranscriptionSerializer,
        "Write a recording down",
        "Priced by the second of sound: WAV and FLAC say how long they are; others are estimated.",
    )
