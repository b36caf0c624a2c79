/** The page's script and style sheet, which the build bundles from page/ in place of this import. */
declare module "#page" {
  const page: { readonly script: string; readonly style: string };
  export default page;
}
