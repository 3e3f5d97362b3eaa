"""Registers fastnn's thread count with threadpoolctl when it is imported; see `register_threadpoolctl`."""

from threadpoolctl import LibController, register

from fastnn import _core


class FastnnController(LibController):
    """threadpoolctl finds the module by its file name and, since other packages have a _core too, by its symbols."""

    user_api = "fastnn"
    internal_api = "fastnn"
    filename_prefixes = ("_core",)
    check_symbols = ("fastnn_get_num_threads", "fastnn_set_num_threads")

    def get_num_threads(self) -> int:
        return int(self.dynlib.fastnn_get_num_threads())

    def set_num_threads(self, num_threads: int) -> None:
        self.dynlib.fastnn_set_num_threads(num_threads)

    def get_version(self) -> str:
        return str(_core.build_info()["version"])

    def set_additional_attributes(self) -> None:
        self.threading_layer = _core.build_info()["threads_engine"]


register(FastnnController)
