"""What a hook point's `enable_reshape` takes."""

from typing import Any


class BaseTensorConversion:
    """A way to show an activation to hooks, and to take back what they return; a subclass fills in the two."""

    def convert(self, input_value: Any, *full_context: Any) -> Any:
        """What a hook sees."""
        return self.handle_conversion(input_value, *full_context)

    def handle_conversion(self, input_value: Any, *full_context: Any) -> Any:
        """What a hook sees, given the activation."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say how it converts: define handle_conversion"
        )

    def revert(self, input_value: Any, *full_context: Any) -> Any:
        """The activation, given what a hook returned."""
        return input_value
