from hypothesis import settings

settings.register_profile("light", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("light")
