"""What Schemathesis does beside: every request is for a model that there is, and every error has the surface's shape."""

import os

import schemathesis


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("model"), str):
        body["model"] = "simulated/small"
    return body


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    if path_parameters and "modelsId" in path_parameters:
        path_parameters["modelsId"] = "simulated/small"
    return path_parameters


@schemathesis.check
def errors_have_their_shape(ctx, response, case):
    if response.status_code < 400:
        return
    body = response.json()
    error = body["error"]
    assert isinstance(error["message"], str) and error["message"], body
    if os.environ["SHAPE"] == "google":
        assert error["code"] == response.status_code and isinstance(error["status"], str), body
        return
    assert isinstance(error["type"], str), body
    if os.environ["SHAPE"] == "anthropic":
        assert body["type"] == "error", body
    else:
        assert "code" in error and "param" in error, body
