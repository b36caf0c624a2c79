/** Script and style sheet of the page, bundled from page/ by the build. */
declare module "#page" {
  const page: { readonly script: string; readonly style: string };
  export default page;
}
