export * from "@solo-io/proxy-runtime/proxy";
import { RootContext, Context, registerRootContext, FilterHeadersStatusValues, stream_context, send_local_response, GrpcStatusValues } from "@solo-io/proxy-runtime";

class Root extends RootContext {
  createContext(context_id: u32): Context { return new Exchange(context_id, this); }
}

class Exchange extends Context {
  constructor(context_id: u32, root: Root) { super(context_id, root); }
  onRequestHeaders(a: u32, end_of_stream: bool): FilterHeadersStatusValues {
    const path = stream_context.headers.request.get(":path");
    if (path == "/forbidden") {
      send_local_response(403, "forbidden", String.UTF8.encode("no"), [], GrpcStatusValues.Internal);
      return FilterHeadersStatusValues.StopIteration;
    }
    stream_context.headers.request.add("x-wasm", (this.root_context as Root).getConfiguration());
    return FilterHeadersStatusValues.Continue;
  }
  onResponseHeaders(a: u32, end_of_stream: bool): FilterHeadersStatusValues {
    stream_context.headers.response.replace("x-served-by", "assemblyscript");
    return FilterHeadersStatusValues.Continue;
  }
}
registerRootContext((context_id: u32) => { return new Root(context_id); }, "add");
